package gridfs

import "context"

// Failed returns what a store makes of an error of the driver.
func Failed(ctx context.Context, err error) error {
	return (&store{address: "mongodb://host/db"}).failed(ctx, err)
}
