/// First in, first out, in a ring that grows by doubling; both ends in constant time.
///
/// A place that holds nothing is memory that is not initialised, so no element carries a mark of
/// whether it is there; and nobody can copy the queue, so nobody asks whether a copy is about.
@safe package struct FIFO<Element>: ~Copyable {
  private var places: UnsafeMutablePointer<Element>?
  /// Number of places, a power of two; 0 while there is no memory.
  private var capacity: UInt32 = 0
  private var head: UInt32 = 0
  private var used: UInt32 = 0

  package init() { unsafe places = nil }

  deinit {
    for offset in 0..<used { unsafe place(offset).deinitialize(count: 1) }
    unsafe places?.deallocate()
  }

  package var count: Int { Int(used) }

  package var isEmpty: Bool { used == 0 }

  package var first: Element? { used == 0 ? nil : unsafe place(0).pointee }

  /// The element that is so many behind the first; nil is not taken.
  package subscript(offset: Int) -> Element? {
    get {
      guard offset >= 0, offset < count else { return nil }
      return unsafe place(UInt32(truncatingIfNeeded: offset)).pointee
    }
    set {
      guard let newValue, offset >= 0, offset < count else { return }
      unsafe place(UInt32(truncatingIfNeeded: offset)).pointee = newValue
    }
  }

  /// Lets `body` look at the first element in its place, or change it; nil if there is none.
  package mutating func withFirst<Result>(_ body: (inout Element) -> Result) -> Result? {
    guard used > 0 else { return nil }
    return unsafe body(&place(0).pointee)
  }

  package mutating func append(_ element: consuming Element) {
    if used == capacity { grow() }
    unsafe place(used).initialize(to: element)
    used &+= 1
  }

  package mutating func popFirst() -> Element? {
    guard used > 0 else { return nil }
    let first = unsafe place(0)
    passFirst()
    return unsafe first.move()
  }

  package mutating func popLast() -> Element? {
    guard used > 0 else { return nil }
    used &-= 1
    return unsafe place(used).move()
  }

  /// Takes out the first element, if there is one, without a look at it.
  package mutating func dropFirst() {
    guard used > 0 else { return }
    unsafe place(0).deinitialize(count: 1)
    passFirst()
  }

  /// Gives back the memory of a burst once it is over.
  package mutating func shrink(to capacity: Int) {
    guard used == 0, self.capacity > capacity else { return }
    self = FIFO()
  }

  /// Where the element is, or would be, that is so many behind the first. There must be memory.
  @inline(__always)
  private func place(_ offset: UInt32) -> UnsafeMutablePointer<Element> {
    unsafe places.unsafelyUnwrapped + Int((head &+ offset) & (capacity &- 1))
  }

  @inline(__always)
  private mutating func passFirst() {
    head = (head &+ 1) & (capacity &- 1)
    used &-= 1
  }

  @inline(never)
  private mutating func grow() {
    let larger = max(8, capacity * 2)
    let room = UnsafeMutablePointer<Element>.allocate(capacity: Int(larger))
    for offset in 0..<used {
      unsafe (room + Int(offset)).moveInitialize(from: place(offset), count: 1)
    }
    unsafe places?.deallocate()
    unsafe places = room
    capacity = larger
    head = 0
  }
}
