import java.security.KeyStore.PasswordProtection;
import java.util.Map;

import eu.europa.esig.dss.signature.AbstractSignatureParameters;
import eu.europa.esig.dss.alert.SilentOnStatusAlert;
import eu.europa.esig.dss.cades.CAdESSignatureParameters;
import eu.europa.esig.dss.cades.signature.CAdESService;
import eu.europa.esig.dss.enumerations.DigestAlgorithm;
import eu.europa.esig.dss.enumerations.EncryptionAlgorithm;
import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.enumerations.SignaturePackaging;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.SignatureValue;
import eu.europa.esig.dss.model.ToBeSigned;
import eu.europa.esig.dss.pades.PAdESSignatureParameters;
import eu.europa.esig.dss.pades.signature.PAdESService;
import eu.europa.esig.dss.service.http.commons.TimestampDataLoader;
import eu.europa.esig.dss.service.tsp.OnlineTSPSource;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.DSSPrivateKeyEntry;
import eu.europa.esig.dss.token.Pkcs12SignatureToken;

/** Signs with EU DSS, to have vectors that we did not make. */
final class Factory {
    private final Dss dss;

    Factory(Dss dss) {
        this.dss = dss;
    }

    /** level such as PAdES_BASELINE_LTA, file, out, store (PKCS#12) with password, tsa, roots; optional: packaging, pss=1, digest. */
    Object sign(Map<String, String> r) throws Exception {
        SignatureLevel level = SignatureLevel.valueOf(r.get("level"));
        DSSDocument in = new FileDocument(r.get("file"));
        OnlineTSPSource tsa = new OnlineTSPSource(r.get("tsa"), new TimestampDataLoader());
        CommonCertificateVerifier verifier = (CommonCertificateVerifier) dss.verifier(r);
        verifier.setAlertOnRevokedCertificate(new SilentOnStatusAlert());
        DSSDocument out;
        try (Pkcs12SignatureToken token = new Pkcs12SignatureToken(r.get("store"), new PasswordProtection(r.get("password").toCharArray()))) {
            DSSPrivateKeyEntry key = token.getKeys().get(0);
            if (level.name().startsWith("PAdES")) {
                PAdESSignatureParameters p = new PAdESSignatureParameters();
                set(p, level, key, r);
                PAdESService s = new PAdESService(verifier);
                s.setTspSource(tsa);
                ToBeSigned data = s.getDataToSign(in, p);
                SignatureValue v = token.sign(data, p.getSignatureAlgorithm(), key);
                out = s.signDocument(in, p, v);
            } else {
                CAdESSignatureParameters p = new CAdESSignatureParameters();
                set(p, level, key, r);
                p.setSignaturePackaging(SignaturePackaging.valueOf(r.getOrDefault("packaging", "DETACHED")));
                CAdESService s = new CAdESService(verifier);
                s.setTspSource(tsa);
                ToBeSigned data = s.getDataToSign(in, p);
                SignatureValue v = token.sign(data, p.getSignatureAlgorithm(), key);
                out = s.signDocument(in, p, v);
            }
        }
        out.save(r.get("out"));
        return Map.of("made", level.name());
    }

    private static void set(AbstractSignatureParameters<?> p, SignatureLevel level, DSSPrivateKeyEntry key, Map<String, String> r) {
        p.setSignatureLevel(level);
        p.setDigestAlgorithm(DigestAlgorithm.valueOf(r.getOrDefault("digest", "SHA256")));
        p.setSigningCertificate(key.getCertificate());
        p.setCertificateChain(key.getCertificateChain());
        // After the certificate, which sets PKCS#1.
        if ("1".equals(r.get("pss"))) p.setEncryptionAlgorithm(EncryptionAlgorithm.RSASSA_PSS);
    }
}
