import java.io.File;
import java.nio.file.Files;
import java.security.KeyStore.PasswordProtection;
import java.util.LinkedHashMap;
import java.util.Map;

import eu.europa.esig.dss.enumerations.DigestAlgorithm;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.SignatureValue;
import eu.europa.esig.dss.model.tsl.TLInfo;
import eu.europa.esig.dss.service.http.commons.CommonsDataLoader;
import eu.europa.esig.dss.service.http.commons.FileCacheDataLoader;
import eu.europa.esig.dss.spi.tsl.TrustedListsCertificateSource;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonCertificateSource;
import eu.europa.esig.dss.token.DSSPrivateKeyEntry;
import eu.europa.esig.dss.token.Pkcs12SignatureToken;
import eu.europa.esig.dss.tsl.job.TLValidationJob;
import eu.europa.esig.dss.tsl.source.TLSource;
import eu.europa.esig.dss.tsl.sync.AcceptAllStrategy;
import eu.europa.esig.dss.xades.tsl.TrustedListV6SignatureParametersBuilder;
import eu.europa.esig.dss.xades.XAdESSignatureParameters;
import eu.europa.esig.dss.xades.signature.XAdESService;

/** Signs a trusted list (ETSI TS 119 612) and loads it as EU DSS loads those of the member states. */
final class Trust {
    final TrustedListsCertificateSource source = new TrustedListsCertificateSource();

    /** file, out, store (PKCS#12 of the scheme's operator) with password: what came of loading the list. */
    Object load(Map<String, String> r) throws Exception {
        TLSource list = new TLSource();
        list.setUrl(new File(r.get("out")).toURI().toString());
        CommonCertificateSource operator = new CommonCertificateSource();
        try (Pkcs12SignatureToken token = new Pkcs12SignatureToken(r.get("store"), new PasswordProtection(r.get("password").toCharArray()))) {
            DSSPrivateKeyEntry key = token.getKeys().get(0);
            operator.addCertificate(key.getCertificate());
            DSSDocument xml = new FileDocument(r.get("file"));
            XAdESSignatureParameters p = new TrustedListV6SignatureParametersBuilder(key.getCertificate(), xml)
                .setDigestAlgorithm(DigestAlgorithm.SHA256).build();
            XAdESService s = new XAdESService(new CommonCertificateVerifier());
            SignatureValue v = token.sign(s.getDataToSign(xml, p), p.getSignatureAlgorithm(), key);
            s.signDocument(xml, p, v).save(r.get("out"));
        }
        list.setCertificateSource(operator);
        FileCacheDataLoader loader = new FileCacheDataLoader(new CommonsDataLoader());
        loader.setCacheExpirationTime(0);
        loader.setFileCacheDirectory(Files.createTempDirectory(new File(r.get("out")).getParentFile().toPath(), "cache").toFile());
        TLValidationJob job = new TLValidationJob();
        job.setTrustedListSources(list);
        job.setTrustedListCertificateSource(source);
        job.setOnlineDataLoader(loader);
        job.setSynchronizationStrategy(new AcceptAllStrategy());
        job.onlineRefresh();
        TLInfo info = job.getSummary().getOtherTLInfos().get(0);
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("download", info.getDownloadCacheInfo().getStatusName());
        said.put("parsing", info.getParsingCacheInfo().getStatusName());
        said.put("validation", info.getValidationCacheInfo().getIndication());
        said.put("anchors", source.getCertificates().size());
        return said;
    }
}
