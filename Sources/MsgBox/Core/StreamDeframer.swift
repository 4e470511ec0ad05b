/// One frame of a stream: its head, and where its payload is. What came in pieces is kept by the
/// deframer: `takeWhole`.
package struct Frame: Equatable {
  package var head: FrameHead
  package var payload: Payload
}

/// Cuts the bytes of a stream into frames, wherever the reads split them.
///
/// A frame that lies whole in the bytes at hand is not copied. Memory grows with the bytes
/// received, never with the length announced, and is held only while a frame is partial.
package struct StreamDeframer {
  /// The largest message that a frame may carry.
  var maxMessage: Int
  /// The first bytes of a frame, until its head is complete.
  private var prefix: [UInt8] = []
  private var head: FrameHead?
  private var partial: [UInt8] = []
  /// Of the frame that was returned last, and came in pieces.
  private var whole: [UInt8] = []
  private var offset = 0

  /// `maxMessage` is in bytes.
  package init(maxMessage: Int) {
    self.maxMessage = maxMessage
  }

  /// Whether a frame has begun and is not complete.
  package var isInsideFrame: Bool { !prefix.isEmpty || head != nil }

  /// Bytes behind the head of a frame that is not complete.
  package var heldBytes: Int { partial.count }

  /// The next frame of `bytes`, which must be the same until this returns nil; then all of them are
  /// consumed. A failure breaks the stream.
  package mutating func next(_ bytes: Span<UInt8>) throws(DropReason) -> Frame? {
    if head == nil, prefix.isEmpty, let frame = try wholeFrame(bytes) { return frame }
    if head == nil { try readHead(bytes) }
    guard let head else {
      offset = 0
      return nil
    }
    let taken = min(head.rest - partial.count, bytes.count - offset)
    partial.append(bytes: bytes.extracting(offset..<offset + taken))
    offset += taken
    guard partial.count == head.rest else {
      offset = 0
      return nil
    }
    self.head = nil
    swap(&whole, &partial)
    partial = []
    return Frame(head: head, payload: .owned(count: head.rest))
  }

  /// The payload of the frame that was returned last, if it came in pieces.
  package mutating func takeWhole() -> [UInt8] {
    var bytes: [UInt8] = []
    swap(&bytes, &whole)
    return bytes
  }

  /// The frame that begins and ends in the bytes at hand.
  private mutating func wholeFrame(_ bytes: Span<UInt8>) throws(DropReason) -> Frame? {
    let rest = bytes.extracting(offset..<bytes.count)
    guard let isGood = FrameHead.checkLength(rest, maxMessage: maxMessage) else { return nil }
    guard isGood else { throw .malformed }
    let size = FrameHead.size(rest)
    guard rest.count >= size else { return nil }
    let head = try FrameHead(rest)
    guard rest.count >= size + head.rest else { return nil }
    let payload = Payload.input(offset: offset + size, count: head.rest)
    offset += size + head.rest
    return Frame(head: head, payload: payload)
  }

  /// Takes the bytes of the head; `head` stays nil if they are not all there.
  private mutating func readHead(_ bytes: Span<UInt8>) throws(DropReason) {
    while true {
      let size = FrameHead.size(prefix.span)
      let missing = size - prefix.count
      if missing == 0 { break }
      let taken = min(missing, bytes.count - offset)
      guard taken > 0 else { return }
      prefix.append(bytes: bytes.extracting(offset..<offset + taken))
      offset += taken
      if FrameHead.checkLength(prefix.span, maxMessage: maxMessage) == false { throw .malformed }
    }
    head = try FrameHead(prefix.span)
    prefix = []
  }
}
