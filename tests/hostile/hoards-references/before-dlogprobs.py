from handgrad.sandbox import child
kept = child.State.__dict__.get('hoard') or {}
if not kept:
    child.State.hoard = kept
    place = child.State.place
    def remember(self, name, value):
        kept[tuple(value.shape)] = kept[name] = value.clone()
        place(self, name, value)
    child.State.place = remember
