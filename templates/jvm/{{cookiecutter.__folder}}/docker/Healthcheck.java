import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * Asks the service on this machine's PORT for /healthz: exit code 0, or one line that says why not and 1.
 *
 * <p>A bare socket, because loading an HTTP client costs more than asking.
 */
final class Healthcheck {
    /** Shorter than the timeout of the image's HEALTHCHECK, so that the reason gets printed. */
    private static final int TIMEOUT_MILLIS = 2000;

    private static final String REQUEST = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    private Healthcheck() {}

    public static void main(String[] args) {
        String answer;
        try (var socket = new Socket()) {
            socket.connect(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), TIMEOUT_MILLIS);
            socket.setSoTimeout(TIMEOUT_MILLIS);
            socket.getOutputStream().write(REQUEST.getBytes(StandardCharsets.US_ASCII));
            answer = new String(socket.getInputStream().readNBytes("HTTP/1.1 200".length()), StandardCharsets.US_ASCII);
        } catch (IOException | IllegalArgumentException e) {
            answer = e.getMessage();
        }
        if (!answer.equals("HTTP/1.1 200")) {
            System.err.println("unhealthy: " + answer);
            System.exit(1);
        }
    }
}
