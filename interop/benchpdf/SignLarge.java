import eu.europa.esig.dss.enumerations.DigestAlgorithm;
import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.SignatureValue;
import eu.europa.esig.dss.model.ToBeSigned;
import eu.europa.esig.dss.pades.PAdESSignatureParameters;
import eu.europa.esig.dss.pades.signature.PAdESService;
import eu.europa.esig.dss.pdf.pdfbox.PdfBoxNativeObjectFactory;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.DSSPrivateKeyEntry;
import eu.europa.esig.dss.token.Pkcs11SignatureToken;
import eu.europa.esig.dss.token.PrefilledPasswordCallback;
import java.security.KeyStore;

/** Signs one PDF (PAdES B-B) with the first key of the first token, as the DSS cookbook shows. */
public class SignLarge {
    public static void main(String[] args) throws Exception {
        var protection = new KeyStore.PasswordProtection(args[1].toCharArray());
        try (var token = new Pkcs11SignatureToken(args[0], new PrefilledPasswordCallback(protection), -1, 0, null)) {
            DSSPrivateKeyEntry key = token.getKeys().get(0);
            var parameters = new PAdESSignatureParameters();
            parameters.setSignatureLevel(SignatureLevel.PAdES_BASELINE_B);
            parameters.setDigestAlgorithm(DigestAlgorithm.SHA256);
            parameters.setSigningCertificate(key.getCertificate());
            parameters.setCertificateChain(key.getCertificateChain());
            var service = new PAdESService(new CommonCertificateVerifier());
            service.setPdfObjFactory(new PdfBoxNativeObjectFactory());
            var document = new FileDocument(args[2]);
            ToBeSigned data = service.getDataToSign(document, parameters);
            SignatureValue value = token.sign(data, DigestAlgorithm.SHA256, key);
            service.signDocument(document, parameters, value).save(args[3]);
        }
    }
}
