/// One frame of a stream: its head, and where its payload is. What came in pieces is kept by the
/// deframer: `takeWhole`.
package struct Frame: Equatable {
  package var head: FrameHead
  package var payload: Payload
}

/// What a frame that comes in pieces may have for memory beyond what came of it.
package struct FrameCredit {
  /// So much at once: about what the same peer has sent in one frame before.
  package var proven = 0
  /// No more than this, unless what came needs it.
  package var allowance = Int.max

  package init() {}
}

/// Cuts the bytes of a stream into frames, wherever the reads split them.
///
/// A frame that lies whole in the bytes at hand is not copied. Memory grows with the bytes
/// received, never with the length announced alone, and is held only while a frame is partial.
package struct StreamDeframer {
  /// A frame of which so much is missing is read straight into its memory.
  package static let directBytes = 65_536

  /// The first bytes of a frame, until its head is complete.
  private var prefix: [UInt8] = []
  private var head: FrameHead?
  private var partial: [UInt8] = []
  /// Of the frame that was returned last, and came in pieces.
  private var whole: [UInt8] = []
  /// How many frames have come in pieces, the one at hand included; wraps.
  private(set) var part: UInt32 = 0

  package init() {}

  /// Whether a frame has begun and is not complete.
  package var isInsideFrame: Bool { head != nil || !prefix.isEmpty }

  /// The memory of what came behind the head of a frame that is not complete.
  package var heldBytes: Int { partial.capacity }

  /// What came behind the head of a frame that is not complete.
  var partBytes: Int { partial.count }

  /// Bytes behind the head of a frame that are still to come; 0 if its head is not complete.
  package var missingBytes: Int { head.map { $0.rest - partial.count } ?? 0 }

  /// The next frame of `bytes` from `offset` on, which moves behind what was consumed; nil if it is
  /// not complete, and then all bytes are consumed. It may carry a message of `maxMessage` bytes.
  /// Memory for one that comes in pieces is of `buffers`, or new. A failure breaks the stream.
  package mutating func next(
    _ bytes: Span<UInt8>, from offset: inout Int, maxMessage: Int,
    credit: FrameCredit = FrameCredit(), buffers: inout LargeBuffers
  ) throws(DropReason) -> Frame? {
    if !isInsideFrame, let frame = try Self.wholeFrame(bytes, from: &offset, maxMessage) {
      return frame
    }
    if head == nil { try readHead(bytes, from: &offset, maxMessage) }
    guard head != nil else { return nil }
    let taken = min(missingBytes, bytes.count - offset)
    makeRoom(taken, credit, &buffers)
    partial.append(bytes: bytes.extracting(offset..<offset + taken))
    offset += taken
    return takeComplete()
  }

  /// Lets `read` put bytes straight behind what is there of a frame: it gets the room for some of
  /// those that are missing, and returns how many it has put there, 0 or more.
  package mutating func read(
    credit: FrameCredit = FrameCredit(), buffers: inout LargeBuffers,
    _ read: (UnsafeMutableRawBufferPointer) -> Int
  ) -> Frame? {
    guard missingBytes > 0 else { return nil }
    // What came doubles what is asked for, so that memory follows it and not what was announced.
    let room = min(
      missingBytes, max(partial.capacity - partial.count, partial.count, Self.directBytes))
    makeRoom(room, credit, &buffers)
    partial.append(addingCapacity: room) { target in
      // Only bytes that were read count, and they lie in the room that was given.
      unsafe target.withUnsafeMutableBufferPointer { target, count in
        let target = UnsafeMutableRawBufferPointer(target.extracting(0..<room))
        count = min(max(unsafe read(target), 0), room)
      }
    }
    return takeComplete()
  }

  /// Makes room for so many of the missing bytes. What is there moves into twice as much memory, or
  /// into what the credit allows, but no new memory is larger than the message.
  private mutating func makeRoom(
    _ room: Int, _ credit: FrameCredit, _ buffers: inout LargeBuffers
  ) {
    guard let head, case let needed = partial.count + room, needed > partial.capacity else {
      return
    }
    let least = min(head.rest, max(needed + partial.count, credit.proven))
    let most = min(max(needed * 4, credit.proven), head.rest * 2, credit.allowance)
    var larger = (most >= least ? buffers.take(of: least...most) : nil) ?? []
    larger.reserveCapacity(least)
    larger.append(bytes: partial.span)
    swap(&larger, &partial)
    buffers.give(larger)
  }

  private mutating func takeComplete() -> Frame? {
    guard let head, partial.count == head.rest else { return nil }
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
  static func wholeFrame(
    _ bytes: Span<UInt8>, from offset: inout Int, _ maxMessage: Int
  ) throws(DropReason) -> Frame? {
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
  private mutating func readHead(
    _ bytes: Span<UInt8>, from offset: inout Int, _ maxMessage: Int
  ) throws(DropReason) {
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
    part &+= 1
    prefix.removeAll(keepingCapacity: true)
  }
}
