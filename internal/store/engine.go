package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of a daemon's answers, images excepted.
const maxAnswer = 16 << 20

// engine speaks to the API of a Docker daemon.
type engine struct {
	client *http.Client
	base   string
	host   string
}

// newEngine understands the values of DOCKER_HOST that need no help of the
// docker command: unix:// and tcp:// without TLS.
func newEngine(host string) (*engine, error) {
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	scheme, address, _ := strings.Cut(host, "://")
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{DisableCompression: true}
	base := "http://docker"
	switch {
	case address == "":
		return nil, fmt.Errorf("connect to Docker at %q: give unix://PATH or tcp://HOST:PORT", host)
	case scheme == "unix":
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", address)
		}
	case scheme == "tcp" || scheme == "http":
		transport.DialContext = dialer.DialContext
		base = "http://" + strings.TrimSuffix(address, "/")
	default:
		return nil, fmt.Errorf("connect to Docker at %q: %w: write an archive (FILE.tar) and give it to \"docker load -i FILE.tar\" instead", host, errors.ErrUnsupported)
	}
	if _, err := url.Parse(base); err != nil {
		return nil, fmt.Errorf("connect to Docker at %q: %w", host, err)
	}
	return &engine{client: &http.Client{Transport: transport}, base: base, host: host}, nil
}

func (e *engine) close() { e.client.CloseIdleConnections() }

// do sends a request and turns every status but 200 into an error with the
// daemon's message. The caller closes the body.
func (e *engine) do(ctx context.Context, method, path string, body io.Reader, size int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
		req.Header.Set("Content-Type", "application/x-tar")
	}
	res, err := e.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w; is the Docker daemon running at %s?", err, e.host)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	return nil, statusError(res)
}

// statusError reads {"message": ...}.
func statusError(res *http.Response) error {
	var answer struct{ Message string }
	data, err := readAtMost(res.Body, 64<<10)
	if err != nil || json.Unmarshal(data, &answer) != nil || answer.Message == "" {
		answer.Message = "no reason given"
	}
	err = fmt.Errorf("docker says: %q (%s)", answer.Message, res.Status)
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// get reads a JSON answer into v.
func (e *engine) get(ctx context.Context, path string, v any) error {
	res, err := e.do(ctx, http.MethodGet, path, nil, 0)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := readAtMost(res.Body, maxAnswer)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// arch asks for the architecture of the daemon, in Go's words.
func (e *engine) arch(ctx context.Context) (string, error) {
	var version struct{ Arch string }
	if err := e.get(ctx, "/version", &version); err != nil {
		return "", err
	}
	if version.Arch == "" {
		return "", errors.New("the answer to /version names no architecture: is this a Docker daemon?")
	}
	return version.Arch, nil
}

// imageID asks for the ID by which the daemon knows an image.
func (e *engine) imageID(ctx context.Context, ref string) (string, error) {
	var image struct{ ID string }
	err := e.get(ctx, "/images/"+ref+"/json", &image)
	if err == nil && image.ID == "" {
		err = errors.New("the answer has no ID")
	}
	return image.ID, err
}

// load sends an archive. The answer is a stream of messages; errors come as
// messages too, with status 200.
func (e *engine) load(ctx context.Context, body io.Reader, size int64) error {
	res, err := e.do(ctx, http.MethodPost, "/images/load?quiet=1", body, size)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answers := json.NewDecoder(io.LimitReader(res.Body, maxAnswer))
	for {
		var m struct {
			Error       string
			ErrorDetail struct{ Message string }
		}
		err := answers.Decode(&m)
		switch {
		case err == io.EOF:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		case m.Error != "" || m.ErrorDetail.Message != "":
			return fmt.Errorf("docker says: %q", cmp.Or(m.ErrorDetail.Message, m.Error))
		}
	}
}

// save copies the archive of an image to w.
func (e *engine) save(ctx context.Context, ref string, w io.Writer) error {
	res, err := e.do(ctx, http.MethodGet, "/images/"+ref+"/get", nil, 0)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}
