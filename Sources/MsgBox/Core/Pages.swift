/// An array in pages of 64 elements: it grows without a copy, and without slack but in its last
/// page. The first page grows by doubling, so that a small one costs little.
@safe package struct Pages<Element: ~Copyable>: ~Copyable {
  private static var shift: Int { 6 }
  private static var pageSize: Int { 1 << shift }

  private var directory: UnsafeMutablePointer<UnsafeMutablePointer<Element>>?
  private var directoryCapacity = 0
  package private(set) var count = 0
  /// Elements that the pages have room for.
  private var room = 0

  package init() { unsafe directory = nil }

  deinit {
    for index in 0..<count { unsafe place(index).deinitialize(count: 1) }
    for page in 0..<(room + Self.pageSize - 1) / Self.pageSize {
      unsafe directory?[page].deallocate()
    }
    unsafe directory?.deallocate()
  }

  package var indices: Range<Int> { 0..<count }

  package subscript(index: Int) -> Element {
    // By address, since a coroutine that is not inlined takes memory for its frame.
    @inline(__always) unsafeAddress { unsafe UnsafePointer(address(index)) }
    @inline(__always) unsafeMutableAddress { unsafe address(index) }
  }

  /// Where an element is, as long as the pages live; but one of the first page only until the next
  /// is appended.
  @inline(__always)
  func address(_ index: Int) -> UnsafeMutablePointer<Element> {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
    return unsafe place(index)
  }

  package mutating func append(_ element: consuming Element) {
    if count == room { grow() }
    unsafe place(count).initialize(to: element)
    count &+= 1
  }

  /// Where the element of that index is, or would be. Its page must be there.
  @inline(__always)
  private func place(_ index: Int) -> UnsafeMutablePointer<Element> {
    let page = unsafe directory.unsafelyUnwrapped[index &>> Self.shift]
    return unsafe page + (index & (Self.pageSize &- 1))
  }

  @inline(never)
  private mutating func grow() {
    guard room >= Self.pageSize || room == 0 else { return growFirstPage() }
    let page = room >> Self.shift
    if page == directoryCapacity { growDirectory() }
    let size = room == 0 ? 4 : Self.pageSize
    unsafe directory?[page] = .allocate(capacity: size)
    room += size
  }

  private mutating func growFirstPage() {
    let larger = UnsafeMutablePointer<Element>.allocate(capacity: room * 2)
    if let directory = unsafe directory {
      unsafe larger.moveInitialize(from: directory[0], count: count)
      unsafe directory[0].deallocate()
      unsafe directory[0] = larger
    }
    room *= 2
  }

  private mutating func growDirectory() {
    let larger = max(4, directoryCapacity * 2)
    let new = UnsafeMutablePointer<UnsafeMutablePointer<Element>>.allocate(capacity: larger)
    if let old = unsafe directory {
      unsafe new.initialize(from: old, count: directoryCapacity)
      unsafe old.deallocate()
    }
    unsafe directory = new
    directoryCapacity = larger
  }
}
