import MsgBox

/// What a simulation has yet to do, by time; what is due at the same time is done in the order of
/// its scheduling.
struct WorkQueue {
  enum Work {
    case datagram(Datagram)
    case wake(Node)
    case call(() -> Void)
  }

  struct Item {
    var time: UInt64
    var order: UInt64
    var work: Work

    func isBefore(_ other: Item) -> Bool {
      time != other.time ? time < other.time : order < other.order
    }
  }

  /// A binary heap: each item is before its two children.
  private var heap: [Item] = []
  private var orders: UInt64 = 0

  var next: Instant? { heap.first.map { Instant(nanoseconds: $0.time) } }

  mutating func add(_ work: Work, at time: Instant) {
    orders += 1
    heap.append(Item(time: time.nanoseconds, order: orders, work: work))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeFirst() -> Item? {
    guard let last = heap.popLast() else { return nil }
    guard let first = heap.first else { return last }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      guard least != parent else { return first }
      heap.swapAt(least, parent)
      parent = least
    }
  }

  mutating func removeAll() {
    heap = []
  }
}
