/// The bytes of a message that is kept without being copied: an array, or memory of the program
/// that is given back when nobody needs it any more.
package struct MessageBytes {
  private var array: [UInt8]
  private var lent: LentBytes?

  package init(_ array: [UInt8]) {
    self.array = array
  }

  package init(_ lent: LentBytes) {
    array = []
    self.lent = lent
  }

  /// A copy of borrowed bytes.
  init(copying bytes: Span<UInt8>) {
    array = [UInt8](copying: bytes)
  }

  /// Whether they are memory of the program.
  var isLent: Bool { lent != nil }

  /// An array of them: a copy of what is lent.
  var whole: [UInt8] { lent.map { [UInt8](copying: $0.span) } ?? array }

  var count: Int { lent?.count ?? array.count }

  var span: Span<UInt8> {
    @_lifetime(borrow self)
    borrowing get {
      guard let lent else { return array.span }
      // The object lives at least as long as this value, which holds it.
      return unsafe _overrideLifetime(lent.span, borrowing: self)
    }
  }
}

/// Memory that a program has lent: `release` is called once, when the last user of this object
/// drops it.
@safe package final class LentBytes {
  private let bytes: UnsafeRawBufferPointer
  private var release: ((UnsafeRawBufferPointer) -> Void)?

  /// Takes `bytes`, which stay as they are until `release` is called. That may be at any time, also
  /// inside a call of the box, so it must not call the box.
  package init(
    _ bytes: UnsafeRawBufferPointer, release: @escaping (UnsafeRawBufferPointer) -> Void
  ) {
    unsafe self.bytes = unsafe bytes
    unsafe self.release = unsafe release
  }

  deinit {
    unsafe release?(bytes)
  }

  /// The program keeps its memory: a call that it was given to was refused.
  package func giveUp() { unsafe release = nil }

  package var count: Int { unsafe bytes.count }

  package var span: Span<UInt8> {
    @_lifetime(borrow self)
    borrowing get {
      let span = unsafe Span<UInt8>(_unsafeBytes: bytes)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }
}
