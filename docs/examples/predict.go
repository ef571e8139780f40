// Ask a model for a row and for a batch: go run predict.go URL MODEL
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"
)

const row = `{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}`
const batch = row + `, {"sepal_length": 6.3, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8},
	{"sepal_length": 5.7, "sepal_width": 2.8, "petal_length": 4.5, "petal_width": null}` // a missing value

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func predict(address, rows string) (answer struct{ Predictions []struct{ Label string } }) {
	client := http.Client{Timeout: time.Minute}
	for attempt := 0; ; attempt++ {
		request, err := http.NewRequest("POST", address, strings.NewReader(`{"instances": [`+rows+`]}`))
		check(err)
		if key := os.Getenv("API_KEY"); key != "" {
			request.Header.Set("Authorization", "Bearer "+key)
		}
		response, err := client.Do(request)
		check(err)
		body, err := io.ReadAll(response.Body)
		check(err)
		check(response.Body.Close())
		if response.StatusCode == 200 {
			check(json.Unmarshal(body, &answer))
			return answer
		}
		if (response.StatusCode != 429 && response.StatusCode != 503) || attempt == 4 { // a full queue, a leaving pod
			log.Fatalf("%s: %s", response.Status, body)
		}
		wait, err := time.ParseDuration(response.Header.Get("Retry-After") + "s")
		if err != nil {
			wait = 100 * time.Millisecond << attempt
		}
		time.Sleep(wait + rand.N(wait/2+1)) // not all clients at once
	}
}

func main() {
	log.SetFlags(0)
	address := os.Args[1] + "/v1/models/" + os.Args[2] + ":predict"
	fmt.Println("row:", predict(address, row).Predictions)
	fmt.Println("batch:", predict(address, batch).Predictions)
}
