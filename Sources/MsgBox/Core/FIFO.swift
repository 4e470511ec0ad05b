/// First in, first out, in a ring that grows by doubling; both ends in constant time.
package struct FIFO<Element> {
  private var ring: [Element?] = []
  private var head = 0
  package private(set) var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }

  package var first: Element? { count == 0 ? nil : ring[head] }

  /// The element that is so many behind the first.
  package subscript(offset: Int) -> Element? {
    get { offset >= 0 && offset < count ? ring[(head + offset) & (ring.count - 1)] : nil }
    set {
      guard offset >= 0, offset < count, newValue != nil else { return }
      ring[(head + offset) & (ring.count - 1)] = newValue
    }
  }

  package mutating func append(_ element: Element) {
    if count == ring.count { grow() }
    ring[(head + count) & (ring.count - 1)] = element
    count += 1
  }

  package mutating func popFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = ring[head].take()
    head = (head + 1) & (ring.count - 1)
    count -= 1
    return element
  }

  /// Gives back the memory of a burst once it is over.
  package mutating func shrink(to capacity: Int) {
    guard count == 0, ring.count > capacity else { return }
    ring = []
    head = 0
  }

  private mutating func grow() {
    var larger: [Element?] = []
    larger.reserveCapacity(max(8, ring.count * 2))
    for index in 0..<count {
      larger.append(ring[(head + index) & (ring.count - 1)].take())
    }
    while larger.count < max(8, ring.count * 2) { larger.append(nil) }
    ring = larger
    head = 0
  }
}
