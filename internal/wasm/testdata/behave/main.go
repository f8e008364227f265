// Behave is what modules may do, and what they should not: its second argument
// says what.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	switch os.Args[1] {
	case "count":
		n, err := io.Copy(io.Discard, os.Stdin)
		fmt.Printf("%d %v %q", n, err, os.Args)
	case "first":
		b, err := bufio.NewReader(os.Stdin).ReadByte()
		fmt.Print(string(b), err)
	case "look":
		_, file := os.ReadFile("/etc/passwd")
		_, here := os.ReadDir(".")
		_, write := os.Create("x")
		_, dial := net.Dial("tcp", "127.0.0.1:80")
		fmt.Print(file != nil, here != nil, write != nil, dial != nil, len(os.Environ()))
	case "clock":
		fmt.Print(time.Now().UTC().Format(time.DateOnly))
	case "hang":
		for {
		}
	case "sleep":
		time.Sleep(1000 * time.Hour)
	case "memory":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
		}
	case "babble":
		for {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "fail":
		fmt.Fprintln(os.Stderr, "no good")
		os.Exit(3)
	case "panic":
		panic("ouch")
	}
}
