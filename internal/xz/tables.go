package xz

// tables are the prices of lengths and distances, made anew now and then.
type tables struct {
	lengths, repeated [places][maxMatch - minMatch + 1]uint32
	slots             [lenStates][1 << slotBits]uint32
	near              [lenStates][fullSlots]uint32
	align             [1 << alignBits]uint32
	age               int // matches since they were made
}

// lifetime is after how many matches the prices have changed enough.
const lifetime = 64

func (t *tables) refresh(m *model) {
	if t.age > 0 {
		return
	}
	t.age = lifetime
	for place := range places {
		m.lengths.prices(place, &t.lengths[place])
		m.repeated.prices(place, &t.repeated[place])
	}
	for i := range t.align {
		t.align[i] = reversePrice(m.align[:], uint32(i), alignBits)
	}
	for s := range t.slots {
		for slot := range t.slots[s] {
			t.slots[s][slot] = treePrice(m.slots[s][:], uint32(slot), slotBits)
			if slot >= firstDirect {
				t.slots[s][slot] += uint32(slot>>1-1-alignBits) << priceBits
			}
		}
		for d := range uint32(fullSlots) {
			slot := slotOf(d)
			t.near[s][d] = t.slots[s][slot]
			if slot >= 4 {
				base, n := slotBase(slot)
				t.near[s][d] += reversePrice(m.special[slot][:], d-base, n)
			}
		}
	}
}

// distance is the price of a distance, which has been made one less.
func (t *tables) distance(d uint32, length int) uint32 {
	s := lenState(length)
	if d < fullSlots {
		return t.near[s][d]
	}
	return t.slots[s][slotOf(d)] + t.align[d&(1<<alignBits-1)]
}

func (l *lengthModel) prices(place int, out *[maxMatch - minMatch + 1]uint32) {
	far := price(l.choice, 1)
	for v := range uint32(len(out)) {
		switch {
		case v < 8:
			out[v] = price(l.choice, 0) + treePrice(l.low[place][:], v, 3)
		case v < 16:
			out[v] = far + price(l.choice2, 0) + treePrice(l.mid[place][:], v-8, 3)
		default:
			out[v] = far + price(l.choice2, 1) + treePrice(l.high[:], v-16, 8)
		}
	}
}
