import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.Security;
import java.util.HashMap;
import java.util.Map;

import org.bouncycastle.jce.provider.BouncyCastleProvider;

/**
 * Judges that live in a JVM, as one process: each line of the input is a request, "operation TAB key=value TAB ...", each
 * line of the output its answer in JSON. The process ends with its input.
 */
public final class Judge {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // what a library prints must not stand among the answers
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Dss dss = new Dss();
        for (String line; (line = in.readLine()) != null;) {
            Object answer;
            try {
                answer = answer(dss, line.split("\t"));
            } catch (Throwable t) {
                answer = Map.of("error", String.valueOf(t));
                t.printStackTrace();
            }
            out.println(Json.text(answer));
            out.flush();
        }
    }

    private static Object answer(Dss dss, String[] words) throws Exception {
        Map<String, String> r = new HashMap<>();
        for (int i = 1; i < words.length; i++) {
            int at = words[i].indexOf('=');
            r.put(words[i].substring(0, at), words[i].substring(at + 1));
        }
        switch (words[0]) {
            case "validate": return dss.validate(r);
            case "trust": return dss.trust.load(r);
            case "sign": return new Factory(dss).sign(r);
            case "box": return Box.pdf(r);
            case "cms": return Box.cms(r);
            default: throw new IllegalArgumentException("no operation " + words[0]);
        }
    }
}
