package cache

import "os"

// OnWrite puts f before every write to a file of the cache.
func (c *Cache) OnWrite(f func(n int) (allowed int, err error)) {
	c.write = func(file *os.File, p []byte, offset int64) (int, error) {
		allowed, err := f(len(p))
		n, writeErr := file.WriteAt(p[:allowed], offset)
		if err == nil {
			err = writeErr
		}
		return n, err
	}
}

// Block and Page are what tests count in.
const (
	Block = blockSize
	Page  = page
)

// Quiet waits until nothing is being made.
func (c *Cache) Quiet() { c.makers.Wait() }
