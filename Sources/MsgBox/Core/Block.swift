/// Plain values in memory of their own: none, or as many as a power of two. Of an index only the
/// lower bits count, so that each is the place of a value; and nobody can copy it, so nobody asks
/// whether a copy is about.
@safe package struct Block<Element: BitwiseCopyable>: ~Copyable {
  private var values: UnsafeMutablePointer<Element>?
  package private(set) var count = 0

  /// One without values, and without memory.
  package init() { unsafe values = nil }

  /// - Parameter count: a power of two.
  package init(repeating value: Element, count: Int) {
    precondition(count > 0 && count & (count &- 1) == 0)
    let values = UnsafeMutablePointer<Element>.allocate(capacity: count)
    unsafe values.initialize(repeating: value, count: count)
    unsafe self.values = values
    self.count = count
  }

  deinit { unsafe values?.deallocate() }

  @inline(__always)
  package var isEmpty: Bool { count == 0 }

  /// The value at the lower bits of `index`; there must be some.
  package subscript(index: Int) -> Element {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(address(index)) }
    @inline(__always) unsafeMutableAddress { unsafe address(index) }
  }

  @inline(__always)
  private func address(_ index: Int) -> UnsafeMutablePointer<Element> {
    precondition(count > 0)
    return unsafe values.unsafelyUnwrapped + (index & (count &- 1))
  }
}

extension Block where Element == UInt8 {
  /// Copies bytes to `start`; there must be so much room.
  @inline(__always)
  package mutating func copy(_ bytes: Span<UInt8>, to start: Int) {
    precondition(start >= 0 && bytes.count <= count - start)
    guard let values = unsafe values else { return }
    // One block copy, within the bounds that were checked.
    unsafe bytes.withUnsafeBytes { source in
      guard let from = source.baseAddress else { return }
      unsafe UnsafeMutableRawPointer(values + start).copyMemory(from: from, byteCount: source.count)
    }
  }

  /// The bytes of a range, which must be there.
  @_lifetime(borrow self)
  package func span(_ range: Range<Int>) -> Span<UInt8> {
    let all = unsafe UnsafeBufferPointer(start: values, count: count)
    return unsafe _overrideLifetime(all.span.extracting(range), borrowing: self)
  }
}
