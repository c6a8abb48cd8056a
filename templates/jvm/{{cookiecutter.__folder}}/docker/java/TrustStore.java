import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;

/** java TrustStore.java PEM STORE: turns a bundle of certificates, which Java cannot read, into a trust store, which it can. */
final class TrustStore {
    private TrustStore() {}

    public static void main(String[] args) throws IOException, GeneralSecurityException {
        try (var pem = Files.newInputStream(Path.of(args[0])); var out = Files.newOutputStream(Path.of(args[1]))) {
            var store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
                store.setCertificateEntry("root " + store.size(), certificate);
            }
            // Without a password there is no salt either: the same certificates give the same bytes.
            store.store(out, null);
        }
    }
}
