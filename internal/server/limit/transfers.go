package limit

// Begin begins a transfer, which is to be ended where it is allowed.
func (t *Table) Begin(id string) (r Reason) {
	if over(&t.transfers, 1, int64(t.o.Transfers)) {
		return t.meet(Transfers)
	}
	t.of(id, func(d *device) {
		if t.o.DeviceTransfers > 0 && d.transfers >= t.o.DeviceTransfers {
			t.transfers.Add(-1)
			r = t.meet(DeviceTransfers)
			return
		}
		d.transfers++
	})
	return r
}

// End ends a transfer.
func (t *Table) End(id string) {
	t.transfers.Add(-1)
	t.of(id, func(d *device) { d.transfers-- })
}

// Running returns the number of transfers.
func (t *Table) Running() int64 { return t.transfers.Load() }
