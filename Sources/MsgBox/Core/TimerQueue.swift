/// What a timer is for; the index is a slot of the table that the kind says.
package enum TimerKind: UInt8, Sendable {
  /// The one timer of a connection; its phase says what for.
  case connection
  /// A get waits no longer, or is sent again.
  case get
  /// The same of the gets of a connection that have no timers of their own.
  case gets
  /// A hello was never confirmed.
  case pendingHello
  /// A tombstone repeats its close, or ends.
  case tombstone
  /// A closing stream waits for the peer's FIN no longer.
  case linger
  /// A numbered datagram may be lost, or more may go.
  case recovery
  /// An incomplete message is given up.
  case reassembly
  /// A message that was not sent yet may be too late.
  case expiry
  /// A peer that may have moved is asked again, or believed, or not.
  case pathChange
}

/// Names a scheduled timer until it fires or is cancelled.
package struct TimerID: Equatable, Sendable {
  fileprivate var entry: UInt32

  /// No timer.
  package static let none = TimerID(entry: .max)
}

/// Deadlines in order, exact to the nanosecond: a hierarchical timing wheel (Varghese and Lauck 1987,
/// scheme 7) for what is far, and a heap for what falls into the tick at hand, of a millisecond.
///
/// A tick is 2^20 ns, a level has 64 lists. A timer is in the level of the highest digit, to the
/// base 64, in which the tick of its deadline differs from the wheel's, and in the list of its own
/// digit there. So it moves at most once per level until it fires, and levels and lists that are
/// empty are skipped.
package struct TimerQueue: ~Copyable {
  private struct Entry {
    var deadline: Instant
    /// Ties fire in the order in which they were scheduled.
    var sequence: UInt64
    /// The next of its list, or of those that are free; its place in the heap.
    var next: UInt32
    var previous: UInt32
    var index: UInt32
    var list: UInt16
    var kind: TimerKind
  }

  private static var none: UInt32 { .max }
  /// Instead of the list of an entry that is in the heap.
  private static var inHeap: UInt16 { .max }
  private static var tickShift: UInt64 { 20 }
  private static var levels: Int { 8 }

  private var entries = Pages<Entry>()
  private var firstFree = TimerQueue.none
  private var sequence: UInt64 = 0
  package private(set) var count = 0

  /// The tick up to which timers have come into the heap.
  private var tick: UInt64 = 0
  /// The entries up to `tick`.
  private var heap: [UInt32] = []
  /// The first entry of each list.
  private var heads = [UInt32](repeating: TimerQueue.none, count: 64 * TimerQueue.levels)
  /// No deadline of the list is earlier. That may be one which was cancelled.
  private var earliest = [Instant](repeating: .never, count: 64 * TimerQueue.levels)
  /// Which lists of each level have entries, and which levels have such lists.
  private var occupiedLists = [UInt64](repeating: 0, count: TimerQueue.levels)
  private var occupiedLevels: UInt64 = 0

  package init() {}

  /// The earliest deadline; somewhat earlier if a timer was cancelled that was among the next.
  package var nextDeadline: Instant? {
    if let first = heap.first { return entries[Int(first)].deadline }
    return firstList.map { earliest[$0] }
  }

  package mutating func schedule(_ kind: TimerKind, _ index: Int, at deadline: Instant) -> TimerID {
    sequence += 1
    let entry = Entry(
      deadline: deadline, sequence: sequence, next: Self.none, previous: Self.none,
      index: UInt32(truncatingIfNeeded: index), list: Self.inHeap, kind: kind)
    let number = firstFree
    count += 1
    guard number != Self.none else {
      entries.append(entry)
      place(UInt32(entries.count - 1))
      return TimerID(entry: UInt32(entries.count - 1))
    }
    firstFree = entries[Int(number)].next
    entries[Int(number)] = entry
    place(number)
    return TimerID(entry: number)
  }

  /// Cancels a timer and forgets its name; `.none` does nothing.
  package mutating func cancel(_ id: inout TimerID) {
    guard id != .none else { return }
    if entries[Int(id.entry)].list == Self.inHeap {
      removeFromHeap(at: Int(entries[Int(id.entry)].next))
    } else {
      unlink(id.entry)
    }
    free(id.entry)
    id = .none
  }

  /// Takes out the earliest timer that is due at `now`. Its name is void from then on.
  package mutating func popDue(at now: Instant) -> (kind: TimerKind, index: Int)? {
    advance(to: now.nanoseconds >> Self.tickShift)
    guard let number = heap.first, entries[Int(number)].deadline <= now else { return nil }
    removeFromHeap(at: 0)
    free(number)
    return (entries[Int(number)].kind, Int(entries[Int(number)].index))
  }

  private mutating func free(_ number: UInt32) {
    entries[Int(number)].next = firstFree
    firstFree = number
    count -= 1
  }

  // MARK: The wheel

  /// The list with the earliest deadlines of the wheel: lower levels come before higher ones.
  private var firstList: Int? {
    guard occupiedLevels != 0 else { return nil }
    let level = occupiedLevels.trailingZeroBitCount
    return level << 6 | occupiedLists[level].trailingZeroBitCount
  }

  /// Brings what is due up to the end of the tick `target` into the heap.
  private mutating func advance(to target: UInt64) {
    while tick < target {
      guard let list = firstList else { break }
      let shift = UInt64(list >> 6 * 6)
      let start = (tick >> shift & ~63 | UInt64(list & 63)) << shift
      guard start <= target else { break }
      tick = start
      empty(list)
    }
    tick = max(tick, target)
  }

  /// Puts the entries of a list, whose time has begun, where they belong now.
  private mutating func empty(_ list: Int) {
    var next = heads[list]
    markEmpty(list)
    while next != Self.none {
      let number = next
      next = entries[Int(number)].next
      place(number)
    }
  }

  private mutating func place(_ number: UInt32) {
    let due = entries[Int(number)].deadline.nanoseconds >> Self.tickShift
    guard due > tick else { return addToHeap(number) }
    let level = (63 - (due ^ tick).leadingZeroBitCount) / 6
    let digit = due >> UInt64(6 * level) & 63
    link(number, to: level << 6 | Int(digit))
  }

  private mutating func link(_ number: UInt32, to list: Int) {
    let next = heads[list]
    entries[Int(number)].list = UInt16(truncatingIfNeeded: list)
    entries[Int(number)].next = next
    entries[Int(number)].previous = Self.none
    if next != Self.none { entries[Int(next)].previous = number }
    heads[list] = number
    earliest[list] = min(earliest[list], entries[Int(number)].deadline)
    occupiedLists[list >> 6] |= 1 << UInt64(list & 63)
    occupiedLevels |= 1 << UInt64(list >> 6)
  }

  private mutating func unlink(_ number: UInt32) {
    let entry = entries[Int(number)]
    if entry.next != Self.none { entries[Int(entry.next)].previous = entry.previous }
    guard entry.previous == Self.none else {
      entries[Int(entry.previous)].next = entry.next
      return
    }
    heads[Int(entry.list)] = entry.next
    if entry.next == Self.none { markEmpty(Int(entry.list)) }
  }

  private mutating func markEmpty(_ list: Int) {
    heads[list] = Self.none
    earliest[list] = .never
    occupiedLists[list >> 6] &= ~(1 << UInt64(list & 63))
    if occupiedLists[list >> 6] == 0 { occupiedLevels &= ~(1 << UInt64(list >> 6)) }
  }

  // MARK: The heap

  private mutating func addToHeap(_ number: UInt32) {
    entries[Int(number)].list = Self.inHeap
    heap.append(number)
    setPlace(heap.count - 1, number)
    siftUp(heap.count - 1)
  }

  private mutating func removeFromHeap(at place: Int) {
    let last = heap.removeLast()
    guard place < heap.count else { return }
    setPlace(place, last)
    siftDown(place)
    siftUp(place)
  }

  private mutating func setPlace(_ place: Int, _ number: UInt32) {
    heap[place] = number
    entries[Int(number)].next = UInt32(truncatingIfNeeded: place)
  }

  private func precedes(_ left: Int, _ right: Int) -> Bool {
    let (left, right) = (Int(heap[left]), Int(heap[right]))
    if entries[left].deadline != entries[right].deadline {
      return entries[left].deadline < entries[right].deadline
    }
    return entries[left].sequence < entries[right].sequence
  }

  private mutating func swapPlaces(_ left: Int, _ right: Int) {
    let number = heap[left]
    setPlace(left, heap[right])
    setPlace(right, number)
  }

  private mutating func siftUp(_ place: Int) {
    var place = place
    while place > 0 {
      let parent = (place - 1) / 2
      guard precedes(place, parent) else { return }
      swapPlaces(place, parent)
      place = parent
    }
  }

  private mutating func siftDown(_ place: Int) {
    var place = place
    while true {
      var least = place
      let left = 2 * place + 1
      if left < heap.count, precedes(left, least) { least = left }
      if left + 1 < heap.count, precedes(left + 1, least) { least = left + 1 }
      guard least != place else { return }
      swapPlaces(place, least)
      place = least
    }
  }
}
