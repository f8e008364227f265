// Wasm-go measures the entropy of a file, in bits for each byte: that of
// compressed or encrypted files is near 8.
//
//	GOOS=wasip1 GOARCH=wasm go build -o entropy.wasm main.go
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
)

func main() {
	var counts [256]float64
	total := 0.0
	buf := make([]byte, 64<<10)
	for {
		n, err := os.Stdin.Read(buf)
		for _, b := range buf[:n] {
			counts[b]++
		}
		total += float64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if total == 0 {
		return // there is nothing to say
	}
	entropy := 0.0
	for _, c := range counts {
		if c > 0 {
			entropy -= c / total * math.Log2(c/total)
		}
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"entropy": math.Round(entropy*1000) / 1000})
}
