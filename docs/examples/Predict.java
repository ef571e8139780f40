// Ask a model for a row and for a batch, in Java 17 or later: java Predict.java URL MODEL
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

public class Predict {
    static final String ROW = """
        {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}""";
    static final String BATCH = ROW + """
        , {"sepal_length": 6.3, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8},
        {"sepal_length": 5.7, "sepal_width": 2.8, "petal_length": 4.5, "petal_width": null}"""; // a missing value
    static final int RETRIES = 4;

    final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    final URI address;

    Predict(String url, String model) {
        address = URI.create(url + "/v1/models/" + model + ":predict");
    }

    /** The answer as JSON; any library reads it. */
    String predict(String rows) throws Exception {
        var request = HttpRequest.newBuilder(address).timeout(Duration.ofMinutes(1))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString("{\"instances\": [" + rows + "]}"));
        if (System.getenv("API_KEY") != null) {
            request.header("Authorization", "Bearer " + System.getenv("API_KEY"));
        }
        for (int attempt = 0;; attempt++) {
            var response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() == 200) {
                return response.body();
            }
            // 429: the queue is full; 503: the pod leaves. Later, or by another pod, it is answered.
            boolean later = response.statusCode() == 429 || response.statusCode() == 503;
            if (!later || attempt == RETRIES) {
                throw new IllegalStateException(response.statusCode() + ": " + response.body().strip());
            }
            double wait = Math.pow(2, attempt) / 10;
            double seconds = response.headers().firstValue("Retry-After").map(Double::parseDouble).orElse(wait);
            Thread.sleep((long) (1000 * seconds * (1 + Math.random() / 2))); // not all clients at once
        }
    }

    public static void main(String[] arguments) throws Exception {
        try {
            var model = new Predict(arguments[0], arguments[1]);
            System.out.println("row: " + model.predict(ROW));
            System.out.println("batch: " + model.predict(BATCH));
        } catch (IllegalStateException | java.io.IOException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }
}
