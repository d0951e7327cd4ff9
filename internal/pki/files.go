package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/trusch/jamesd/pkg/james"
)

func pairFiles(dir, name string) (cert, key string) {
	return filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
}

// checkFree fails with KindExists when the pair, or half of it, is there.
func checkFree(dir, name string) error {
	cert, key := pairFiles(dir, name)
	_, certErr := os.Lstat(cert)
	_, keyErr := os.Lstat(key)
	switch {
	case certErr == nil:
		return exists(cert)
	case keyErr == nil:
		return exists(key).WithHint("%s has no certificate: it is left from an interrupted run; remove it and try again.", key)
	}
	return nil
}

func exists(file string) *james.Error {
	return james.Errorf(james.KindExists, file, "exists and is never overwritten").
		WithHint("Move it away to make a new one, or choose another name or --dir.")
}

// writePair writes the key and then its certificate.
func writePair(dir, name string, cert []byte, key crypto.Signer) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return james.Errorf(james.KindInternal, "key of "+name, "%w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fileError(dir, err)
	}
	certFile, keyFile := pairFiles(dir, name)
	if err := writeNew(keyFile, "PRIVATE KEY", pkcs8, 0o600); err != nil {
		return err
	}
	return writeNew(certFile, "CERTIFICATE", cert, 0o644)
}

// writeNew writes a PEM file that is complete as soon as it is there and stays
// over a crash. It fails with KindExists where there is one already.
func writeNew(file, blockType string, der []byte, mode os.FileMode) error {
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fileError(dir, err)
	}
	defer os.Remove(tmp.Name())
	err = errors.Join(
		tmp.Chmod(mode),
		pem.Encode(tmp, &pem.Block{Type: blockType, Bytes: der}),
		tmp.Sync(),
		tmp.Close())
	if err != nil {
		return fileError(file, err)
	}
	// Unlike rename, link does not replace a file that has appeared meanwhile.
	if err := os.Link(tmp.Name(), file); errors.Is(err, os.ErrExist) {
		return exists(file)
	} else if err != nil {
		if err := renameNew(tmp.Name(), file); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// renameNew is for file systems without hard links.
func renameNew(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return exists(to)
	}
	if err := os.Rename(from, to); err != nil {
		return fileError(to, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fileError(dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fileError(dir, err)
	}
	return nil
}

// maxFile bounds a PEM file, in bytes; a bundle of every public authority has
// 250 KB.
const maxFile = 1 << 20

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fileError(file, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fileError(file, err)
	}
	if len(raw) > maxFile {
		return nil, james.Errorf(james.KindInvalid, file, "is too large for a PEM file, the limit is %d bytes", maxFile)
	}
	return raw, nil
}

// fileError names the file once.
func fileError(file string, err error) error {
	var p *os.PathError
	var l *os.LinkError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return james.Errorf(james.KindNotFound, file, "there is no such file")
	case errors.Is(err, os.ErrPermission):
		return james.Errorf(james.KindDenied, file, "permission denied").
			WithHint("Run as the user that owns it, or give this user access.")
	case errors.As(err, &p):
		err = p.Err
	case errors.As(err, &l):
		err = l.Err
	}
	return james.Errorf(james.KindInvalid, file, "%w", err)
}
