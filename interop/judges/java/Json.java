import java.util.Iterator;
import java.util.Map;

/** Writes maps, lists, numbers and texts as JSON on one line. */
final class Json {
    static String text(Object o) {
        StringBuilder b = new StringBuilder();
        write(b, o);
        return b.toString();
    }

    private static void write(StringBuilder b, Object o) {
        if (o == null || o instanceof Number || o instanceof Boolean) {
            b.append(o);
        } else if (o instanceof Map) {
            b.append('{');
            for (Iterator<? extends Map.Entry<?, ?>> i = ((Map<?, ?>) o).entrySet().iterator(); i.hasNext();) {
                Map.Entry<?, ?> e = i.next();
                write(b, String.valueOf(e.getKey()));
                b.append(':');
                write(b, e.getValue());
                if (i.hasNext()) b.append(',');
            }
            b.append('}');
        } else if (o instanceof Iterable) {
            b.append('[');
            for (Iterator<?> i = ((Iterable<?>) o).iterator(); i.hasNext();) {
                write(b, i.next());
                if (i.hasNext()) b.append(',');
            }
            b.append(']');
        } else {
            b.append('"');
            for (char c : String.valueOf(o).toCharArray()) {
                if (c == '"' || c == '\\') b.append('\\').append(c);
                else if (c < 0x20 || c == 0x2028 || c == 0x2029) b.append(String.format("\\u%04x", (int) c));
                else b.append(c);
            }
            b.append('"');
        }
    }
}
