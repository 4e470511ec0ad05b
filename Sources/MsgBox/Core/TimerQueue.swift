/// What a timer is for; the index is a slot of the table that the kind says.
package enum TimerKind: UInt8, Sendable {
  /// The one timer of a connection; its phase says what for.
  case connection
  /// A get waits no longer.
  case get
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
}

/// Names a scheduled timer until it fires or is cancelled.
package struct TimerID: Equatable, Sendable {
  fileprivate var entry: UInt32

  /// No timer.
  package static let none = TimerID(entry: .max)
}

/// Deadlines in order: a binary heap whose entries know their places, so that any can be cancelled.
package struct TimerQueue: Sendable {
  private struct Entry {
    var deadline: Instant
    /// Ties fire in the order in which they were scheduled.
    var sequence: UInt64
    var kind: TimerKind
    var index: UInt32
    var place: Int
  }

  private var entries: [Entry] = []
  private var freeEntries: [UInt32] = []
  private var heap: [UInt32] = []
  private var sequence: UInt64 = 0

  package init() {}

  package var count: Int { heap.count }

  package var nextDeadline: Instant? {
    heap.isEmpty ? nil : entries[Int(heap[0])].deadline
  }

  package mutating func schedule(_ kind: TimerKind, _ index: Int, at deadline: Instant) -> TimerID {
    sequence += 1
    let entry = Entry(
      deadline: deadline, sequence: sequence, kind: kind, index: UInt32(truncatingIfNeeded: index),
      place: heap.count)
    let number: UInt32
    if let free = freeEntries.popLast() {
      number = free
      entries[Int(number)] = entry
    } else {
      number = UInt32(entries.count)
      entries.append(entry)
    }
    heap.append(number)
    siftUp(heap.count - 1)
    return TimerID(entry: number)
  }

  /// Cancels a timer and forgets its name; `.none` does nothing.
  package mutating func cancel(_ id: inout TimerID) {
    guard id != .none else { return }
    remove(at: entries[Int(id.entry)].place)
    freeEntries.append(id.entry)
    id = .none
  }

  /// Takes out the earliest timer that is due at `now`. Its name is void from then on.
  package mutating func popDue(at now: Instant) -> (kind: TimerKind, index: Int)? {
    guard let number = heap.first, entries[Int(number)].deadline <= now else { return nil }
    remove(at: 0)
    freeEntries.append(number)
    return (entries[Int(number)].kind, Int(entries[Int(number)].index))
  }

  private mutating func remove(at place: Int) {
    let last = heap.count - 1
    if place != last { swapPlaces(place, last) }
    heap.removeLast()
    if place < heap.count {
      siftDown(place)
      siftUp(place)
    }
  }

  private func precedes(_ left: Int, _ right: Int) -> Bool {
    let left = entries[Int(heap[left])]
    let right = entries[Int(heap[right])]
    return (left.deadline, left.sequence) < (right.deadline, right.sequence)
  }

  private mutating func swapPlaces(_ left: Int, _ right: Int) {
    heap.swapAt(left, right)
    entries[Int(heap[left])].place = left
    entries[Int(heap[right])].place = right
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
