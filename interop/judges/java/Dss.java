import java.io.File;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.jaxb.object.Message;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.service.crl.OnlineCRLSource;
import eu.europa.esig.dss.service.http.commons.CommonsDataLoader;
import eu.europa.esig.dss.service.http.commons.OCSPDataLoader;
import eu.europa.esig.dss.service.ocsp.OnlineOCSPSource;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.simplereport.jaxb.XmlTimestamp;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CertificateVerifier;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.spi.x509.aia.DefaultAIASource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.validation.reports.Reports;

/** EU DSS with its default policy. A verifier is kept for each set of roots. */
final class Dss {
    private final Map<String, CertificateVerifier> verifiers = new HashMap<>();

    final Trust trust = new Trust();

    /** roots: files separated by commas; tl=1: the trusted list instead; online=1: revocation data and certificates are fetched. */
    CertificateVerifier verifier(Map<String, String> r) {
        String roots = r.getOrDefault("roots", "");
        boolean online = "1".equals(r.get("online"));
        boolean list = "1".equals(r.get("tl"));
        return verifiers.computeIfAbsent(online + " " + list + roots, k -> {
            CommonTrustedCertificateSource trusted = new CommonTrustedCertificateSource();
            for (String f : roots.split(",")) {
                if (!f.isEmpty()) trusted.addCertificate(DSSUtils.loadCertificate(new File(f)));
            }
            CommonCertificateVerifier v = new CommonCertificateVerifier();
            if (list) v.setTrustedCertSources(trust.source);
            else v.setTrustedCertSources(trusted);
            v.setAIASource(null);
            if (online) {
                v.setCrlSource(new OnlineCRLSource(new CommonsDataLoader()));
                v.setOcspSource(new OnlineOCSPSource(new OCSPDataLoader()));
                v.setAIASource(new DefaultAIASource(new CommonsDataLoader()));
            }
            return v;
        });
    }

    /** file, roots, online; optional: content of a detached signature, time of validation (ISO 8601). */
    Object validate(Map<String, String> r) {
        SignedDocumentValidator v = SignedDocumentValidator.fromDocument(new FileDocument(r.get("file")));
        v.setCertificateVerifier(verifier(r));
        if (r.containsKey("content")) v.setDetachedContents(List.of(new FileDocument(r.get("content"))));
        if (r.containsKey("time")) v.setValidationTime(Date.from(Instant.parse(r.get("time"))));
        Reports reports = v.validateDocument();
        SimpleReport s = reports.getSimpleReport();
        DiagnosticData d = reports.getDiagnosticData();
        List<Object> signatures = new ArrayList<>();
        for (String id : s.getSignatureIdList()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("indication", s.getIndication(id));
            one.put("sub", s.getSubIndication(id));
            one.put("level", s.getSignatureFormat(id));
            one.put("qualification", s.getSignatureQualification(id));
            one.put("time", time(s.getBestSignatureTime(id)));
            one.put("by", s.getSignedBy(id));
            one.put("errors", keys(s.getAdESValidationErrors(id), s.getQualificationErrors(id)));
            one.put("warnings", keys(s.getAdESValidationWarnings(id), s.getQualificationWarnings(id)));
            one.put("filter", d.getSignatureById(id).getSignatureFieldNames());
            List<Object> stamps = new ArrayList<>();
            for (XmlTimestamp t : s.getSignatureTimestamps(id)) stamps.add(stamp(s, d, t.getId()));
            one.put("stamps", stamps);
            signatures.add(one);
        }
        List<Object> alone = new ArrayList<>();
        for (String id : s.getTimestampIdList()) alone.add(stamp(s, d, id));
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("signatures", signatures);
        all.put("stamps", alone);
        return all;
    }

    private static Object stamp(SimpleReport s, DiagnosticData d, String id) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("type", d.getTimestampById(id).getType());
        one.put("archive", d.getTimestampById(id).getArchiveTimestampType());
        one.put("indication", s.getIndication(id));
        one.put("sub", s.getSubIndication(id));
        one.put("qualification", s.getTimestampQualification(id));
        one.put("time", time(d.getTimestampById(id).getProductionTime()));
        one.put("errors", keys(s.getAdESValidationErrors(id), s.getQualificationErrors(id)));
        one.put("warnings", keys(s.getAdESValidationWarnings(id), s.getQualificationWarnings(id)));
        return one;
    }

    private static String time(Date d) {
        return d == null ? null : d.toInstant().toString();
    }

    @SafeVarargs
    private static List<String> keys(List<Message>... lists) {
        List<String> keys = new ArrayList<>();
        for (List<Message> l : lists) {
            for (Message m : l) if (!keys.contains(m.getKey() + ": " + m.getValue())) keys.add(m.getKey() + ": " + m.getValue());
        }
        return keys;
    }
}
