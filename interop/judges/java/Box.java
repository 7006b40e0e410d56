import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CRL;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.apache.pdfbox.Loader;
import org.apache.pdfbox.cos.COSArray;
import org.apache.pdfbox.cos.COSDictionary;
import org.apache.pdfbox.cos.COSName;
import org.apache.pdfbox.cos.COSStream;
import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.PDSignature;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.ess.ESSCertIDv2;
import org.bouncycastle.asn1.ess.SigningCertificateV2;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cert.ocsp.BasicOCSPResp;
import org.bouncycastle.cert.ocsp.CertificateID;
import org.bouncycastle.cert.ocsp.CertificateStatus;
import org.bouncycastle.cert.ocsp.OCSPResp;
import org.bouncycastle.cert.ocsp.SingleResp;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TimeStampToken;

/**
 * PDFBox as reader of the file and BouncyCastle as judge of the CMS, of the time-stamps and of the evidence. It does not
 * know the profiles and no archive time-stamp of CAdES.
 */
final class Box {
    private final Set<TrustAnchor> anchors = new HashSet<>();
    private final List<X509Certificate> pool = new ArrayList<>();
    private final List<X509CRL> crls = new ArrayList<>();
    private final List<BasicOCSPResp> answers = new ArrayList<>();
    /** Every chain that was built: for each certificate but the anchor evidence is looked for. */
    private final List<X509Certificate> used = new ArrayList<>();

    private Box(Map<String, String> r) throws Exception {
        for (String f : r.getOrDefault("roots", "").split(",")) {
            if (!f.isEmpty()) anchors.add(new TrustAnchor(certificate(Files.readAllBytes(Path.of(f))), null));
        }
    }

    /** file, roots: what is said of every signature of a PDF, and of the evidence in its /DSS. */
    static Object pdf(Map<String, String> r) throws Exception {
        Box b = new Box(r);
        byte[] file = Files.readAllBytes(Path.of(r.get("file")));
        List<Object> signatures = new ArrayList<>();
        Map<String, Object> all = new LinkedHashMap<>();
        try (PDDocument doc = Loader.loadPDF(new File(r.get("file")))) {
            COSDictionary dss = doc.getDocumentCatalog().getCOSObject().getCOSDictionary(COSName.getPDFName("DSS"));
            if (dss != null) b.readDss(dss);
            for (PDSignature s : doc.getSignatureDictionaries()) {
                Map<String, Object> one = new LinkedHashMap<>();
                one.put("filter", s.getSubFilter());
                int[] range = s.getByteRange();
                one.put("whole", range[2] + range[3] == file.length);
                byte[] content = s.getSignedContent(file);
                if ("ETSI.RFC3161".equals(s.getSubFilter())) {
                    one.put("stamp", b.token(new CMSSignedData(s.getContents(file)), content));
                } else {
                    one.putAll(b.signer(new CMSSignedData(new CMSProcessableByteArray(content), s.getContents(file))));
                }
                signatures.add(one);
            }
            all.put("signatures", signatures);
            all.put("evidence", b.evidence());
        }
        return all;
    }

    /** file, roots; content when it is detached. */
    static Object cms(Map<String, String> r) throws Exception {
        Box b = new Box(r);
        byte[] der = Files.readAllBytes(Path.of(r.get("file")));
        CMSSignedData cms = r.containsKey("content")
            ? new CMSSignedData(new CMSProcessableByteArray(Files.readAllBytes(Path.of(r.get("content")))), der) : new CMSSignedData(der);
        for (Object h : cms.getCRLs().getMatches(null)) {
            b.crls.add((X509CRL) CertificateFactory.getInstance("X.509").generateCRL(
                new ByteArrayInputStream(((org.bouncycastle.cert.X509CRLHolder) h).getEncoded())));
        }
        for (Object o : cms.getOtherRevocationInfo(new ASN1ObjectIdentifier("1.3.6.1.5.5.7.16.2")).getMatches(null)) {
            b.answers.add((BasicOCSPResp) new OCSPResp(((ASN1Encodable) o).toASN1Primitive().getEncoded()).getResponseObject());
        }
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("signatures", List.of(b.signer(cms)));
        all.put("evidence", b.evidence());
        return all;
    }

    private void readDss(COSDictionary dss) throws Exception {
        for (byte[] der : streams(dss, "Certs")) pool.add(certificate(der));
        for (byte[] der : streams(dss, "CRLs")) {
            crls.add((X509CRL) CertificateFactory.getInstance("X.509").generateCRL(new ByteArrayInputStream(der)));
        }
        for (byte[] der : streams(dss, "OCSPs")) answers.add((BasicOCSPResp) new OCSPResp(der).getResponseObject());
    }

    private static List<byte[]> streams(COSDictionary dss, String key) throws Exception {
        List<byte[]> found = new ArrayList<>();
        COSArray a = dss.getCOSArray(COSName.getPDFName(key));
        for (int i = 0; a != null && i < a.size(); i++) {
            try (var in = ((COSStream) a.getObject(i)).createInputStream()) {
                found.add(in.readAllBytes());
            }
        }
        return found;
    }

    /** The signature value, the certificate named by signing-certificate-v2, the chain, and the signature time-stamps. */
    private Map<String, Object> signer(CMSSignedData cms) throws Exception {
        Map<String, Object> one = new LinkedHashMap<>();
        Collection<SignerInformation> signers = cms.getSignerInfos().getSigners();
        if (signers.size() != 1) throw new IllegalStateException(signers.size() + " signers");
        SignerInformation s = signers.iterator().next();
        X509Certificate leaf = leaf(cms, s);
        one.put("value", s.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(leaf)));
        Attribute named = s.getSignedAttributes().get(PKCSObjectIdentifiers.id_aa_signingCertificateV2);
        one.put("named", named != null && names(named, leaf));
        List<Object> stamps = new ArrayList<>();
        Date at = new Date();
        AttributeTable unsigned = s.getUnsignedAttributes();
        if (unsigned != null) {
            var all = unsigned.getAll(PKCSObjectIdentifiers.id_aa_signatureTimeStampToken);
            for (int i = 0; i < all.size(); i++) {
                CMSSignedData token = new CMSSignedData(((Attribute) all.get(i)).getAttributeValues()[0].toASN1Primitive().getEncoded());
                stamps.add(token(token, s.getSignature()));
                at = new TimeStampToken(token).getTimeStampInfo().getGenTime();
            }
        }
        one.put("chain", chain(leaf, cms, at));
        one.put("stamps", stamps);
        return one;
    }

    /** "right", or what is wrong with a time-stamp token. */
    private String token(CMSSignedData cms, byte[] covered) throws Exception {
        TimeStampToken t = new TimeStampToken(cms);
        String hash = t.getTimeStampInfo().getMessageImprintAlgOID().getId();
        if (!Arrays.equals(MessageDigest.getInstance(hash, "BC").digest(covered), t.getTimeStampInfo().getMessageImprintDigest())) {
            return "covers something else";
        }
        X509Certificate unit = leaf(cms, cms.getSignerInfos().getSigners().iterator().next());
        t.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(unit)); // value, usage, signing-certificate
        return chain(unit, cms, t.getTimeStampInfo().getGenTime()) ? "right" : "no chain";
    }

    private static X509Certificate leaf(CMSSignedData cms, SignerInformation s) throws Exception {
        @SuppressWarnings("unchecked")
        Collection<X509CertificateHolder> found = cms.getCertificates().getMatches(s.getSID());
        if (found.isEmpty()) throw new IllegalStateException("the signer's certificate is not there");
        return new JcaX509CertificateConverter().setProvider("BC").getCertificate(found.iterator().next());
    }

    private static boolean names(Attribute a, X509Certificate leaf) throws Exception {
        ESSCertIDv2 id = SigningCertificateV2.getInstance(a.getAttributeValues()[0]).getCerts()[0];
        AlgorithmIdentifier hash = id.getHashAlgorithm();
        return Arrays.equals(MessageDigest.getInstance(hash.getAlgorithm().getId(), "BC").digest(leaf.getEncoded()), id.getCertHash());
    }

    private boolean chain(X509Certificate leaf, CMSSignedData cms, Date at) throws Exception {
        Set<X509Certificate> between = new HashSet<>(pool);
        for (Object h : cms.getCertificates().getMatches(null)) {
            between.add(new JcaX509CertificateConverter().setProvider("BC").getCertificate((X509CertificateHolder) h));
        }
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(leaf);
        PKIXBuilderParameters p = new PKIXBuilderParameters(anchors, target);
        p.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(between)));
        p.setRevocationEnabled(false); // evidence() looks for it, as there is none below B-LT
        p.setDate(at);
        try {
            for (var c : CertPathBuilder.getInstance("PKIX", "BC").build(p).getCertPath().getCertificates()) {
                if (!used.contains(c)) used.add((X509Certificate) c);
            }
            return true;
        } catch (java.security.cert.CertPathBuilderException e) {
            return false;
        }
    }

    /** "none", "complete" for all chains, or for how many certificates a genuine and good answer is missing. */
    private String evidence() throws Exception {
        if (crls.isEmpty() && answers.isEmpty()) return "none";
        int missing = 0;
        List<X509Certificate> issuers = new ArrayList<>(used);
        issuers.addAll(pool);
        for (TrustAnchor a : anchors) issuers.add(a.getTrustedCert());
        for (X509Certificate c : used) {
            boolean anchor = false;
            for (TrustAnchor a : anchors) anchor |= a.getTrustedCert().equals(c);
            if (!anchor && !listed(c, issuers) && !answered(c, issuers)) missing++;
        }
        return missing == 0 ? "complete" : "missing for " + missing;
    }

    private boolean listed(X509Certificate c, List<X509Certificate> issuers) {
        for (X509CRL l : crls) {
            if (!l.getIssuerX500Principal().equals(c.getIssuerX500Principal()) || l.isRevoked(c)) continue;
            for (X509Certificate i : issuers) {
                try {
                    if (!i.getSubjectX500Principal().equals(l.getIssuerX500Principal())) continue;
                    l.verify(i.getPublicKey(), "BC");
                    return true;
                } catch (java.security.GeneralSecurityException e) {
                    continue; // not by this issuer: another one of the same name may have signed it
                }
            }
        }
        return false;
    }

    private boolean answered(X509Certificate c, List<X509Certificate> issuers) throws Exception {
        for (BasicOCSPResp a : answers) {
            for (SingleResp s : a.getResponses()) {
                for (X509Certificate i : issuers) {
                    CertificateID id = s.getCertID();
                    if (!id.getSerialNumber().equals(c.getSerialNumber()) || s.getCertStatus() != CertificateStatus.GOOD
                        || !i.getSubjectX500Principal().equals(c.getIssuerX500Principal())) continue;
                    if (!id.matchesIssuer(new JcaX509CertificateHolder(i), new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())) continue;
                    X509CertificateHolder[] by = a.getCerts();
                    var builder = new JcaContentVerifierProviderBuilder().setProvider("BC");
                    if (a.isSignatureValid(builder.build(i.getPublicKey()))) return true;
                    if (by.length > 0 && by[0].isSignatureValid(builder.build(i.getPublicKey())) && a.isSignatureValid(builder.build(by[0]))) return true;
                }
            }
        }
        return false;
    }

    private static X509Certificate certificate(byte[] der) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
    }
}
