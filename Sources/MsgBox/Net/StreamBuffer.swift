import CMsgBox

/// The room into which the streams of a loop are read, one at a time.
@safe package final class StreamBuffer {
  private let bytes: UnsafeMutableBufferPointer<UInt8>

  /// Makes room for `capacity` bytes, 1 or more. What is never read into it costs no memory: nobody
  /// gets bytes that were not read.
  package init(capacity: Int) {
    unsafe bytes = .allocate(capacity: capacity)
  }

  deinit {
    unsafe bytes.deallocate()
  }

  package var capacity: Int { unsafe bytes.count }

  /// Reads what a stream has, up to `limit` bytes and the capacity; 0 is its end.
  package func read(from descriptor: Int32, limit: Int = .max) throws(Errno) -> Int {
    try checked(unsafe cmsgbox_receive(descriptor, bytes.baseAddress, min(limit, bytes.count)))
  }

  /// Reads what a stream has into `room`, and what has none there up to `limit` bytes into the
  /// buffer; 0 is its end.
  package func read(
    from descriptor: Int32, filling room: UnsafeMutableRawBufferPointer, limit: Int
  ) throws(Errno) -> Int {
    try unsafe checked(
      cmsgbox_receive_two(
        descriptor, room.baseAddress, room.count, bytes.baseAddress, min(limit, bytes.count)))
  }

  /// Hands out the first `count` bytes, at most the capacity.
  package func withBytes(_ count: Int, _ body: (Span<UInt8>) -> Void) {
    let first = unsafe UnsafeBufferPointer(rebasing: bytes[..<min(max(count, 0), capacity)])
    body(unsafe Span(_unsafeElements: first))
  }
}
