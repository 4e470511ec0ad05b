import CMsgBox

/// Pieces of memory that are written to a stream by one call.
@safe package final class StreamPieces {
  /// How many pieces one call takes.
  private static let capacity = 32

  private let pieces: UnsafeMutableBufferPointer<cmsgbox_piece>
  private var count = 0
  /// Bytes in all pieces.
  package private(set) var bytes = 0

  package init() {
    unsafe pieces = .allocate(capacity: Self.capacity)
    unsafe pieces.initialize(repeating: cmsgbox_piece())
  }

  deinit {
    unsafe pieces.deallocate()
  }

  /// Adds a piece, which must stay where it is until it was sent; false if there is no room.
  @unsafe package func add(_ piece: Span<UInt8>) -> Bool {
    guard count < Self.capacity else { return false }
    unsafe piece.withUnsafeBufferPointer {
      unsafe pieces[count] = cmsgbox_piece(bytes: $0.baseAddress, count: $0.count)
    }
    count += 1
    bytes += piece.count
    return true
  }

  /// Sends from the front of the pieces, and forgets them; returns how many bytes the system took.
  package func send(on descriptor: Int32) throws(Errno) -> Int {
    let result = unsafe cmsgbox_send_pieces(descriptor, pieces.baseAddress, count)
    forget()
    return try checked(result)
  }

  package func forget() {
    count = 0
    bytes = 0
  }
}
