/// Bytes to be written to a stream: frames are appended at the end, bytes are taken from the front.
///
/// Small frames are gathered in one buffer. A large message that need not be copied is a piece of
/// its own, between the bytes before and behind it.
package struct StreamQueue: ~Copyable {
  /// A queue with fewer bytes takes messages that wait.
  static let nearlyEmpty = 65_536
  /// Bytes that are written at once at most, so that other streams get their turn.
  package static let writeLimit = 262_144
  /// A message of so many bytes is a piece of its own if it need not be copied.
  static let ownPiece = 16_384

  /// The size of a buffer of small frames, and the memory of one that is kept.
  private static let bufferBytes = 262_144

  /// What stands before `tail`; those before `firstPiece` were sent.
  private var pieces: [MessageBytes] = []
  private var firstPiece = 0
  /// The last bytes.
  private var tail: [UInt8] = []
  /// How many bytes of the first piece, or of `tail` if there is none, were sent.
  private var head = 0
  /// Bytes that are not sent.
  private(set) var count = 0
  /// Bytes that were sent of frames that are not, to their end.
  private var begun = 0
  private var frames = FrameSizes()

  var isEmpty: Bool { count == 0 }

  /// Whether it has little memory.
  var isSmall: Bool { tail.capacity <= 1024 && frames.isSmall }

  // MARK: Appending

  /// Appends what is no message.
  mutating func append(_ write: (inout [UInt8]) -> Void) {
    makeRoom(0)
    let before = tail.count
    write(&tail)
    count += tail.count - before
    frames.append(tail.count - before, overhead: 0)
  }

  /// Appends a message. `shared` is the same message, if it need not be copied.
  mutating func append(_ head: MessageHead, _ message: Span<UInt8>, shared: MessageBytes?) {
    if let shared, message.count >= Self.ownPiece {
      append(head, sharing: shared)
    } else {
      append(head, message)
    }
  }

  /// Appends a message.
  @inline(__always)
  mutating func append(_ head: MessageHead, _ message: Span<UInt8>) {
    let overhead = StreamFrame.overhead(head)
    makeRoom(overhead &+ message.count)
    StreamFrame.append(head, payload: message, to: &tail)
    count &+= overhead &+ message.count
    note(head, overhead, message.count)
  }

  /// Appends a message that is not copied.
  private mutating func append(_ head: MessageHead, sharing message: MessageBytes) {
    let overhead = StreamFrame.overhead(head)
    makeRoom(overhead)
    StreamFrame.append(head, payloadCount: message.count, to: &tail)
    endTail()
    pieces.append(message)
    count += overhead + message.count
    note(head, overhead, message.count)
  }

  @inline(__always)
  private mutating func note(_ head: MessageHead, _ overhead: Int, _ payload: Int) {
    if head.kind == .reliable {
      frames.appendReliable(overhead &+ payload)
    } else {
      frames.append(overhead &+ payload, overhead: overhead)
    }
  }

  /// Begins a new buffer if the last one is full, so that what waits is not moved to grow it.
  @inline(__always)
  private mutating func makeRoom(_ size: Int) {
    let needed = tail.count + size
    guard needed > Self.bufferBytes, tail.count > 0 else { return }
    if firstPiece == pieces.count, head == tail.count {
      tail.removeAll(keepingCapacity: true)
      head = 0
    } else {
      endTail()
      // As much waits already: the next one grows to the same size, and would be moved for it.
      tail.reserveCapacity(Self.bufferBytes)
    }
  }

  private mutating func endTail() {
    guard !tail.isEmpty else { return }
    pieces.append(MessageBytes(tail))
    tail = []
  }

  // MARK: Taking

  /// How many pieces there are to be written, each of at least one byte.
  package var pieceCount: Int { pieces.count - firstPiece + (tail.isEmpty ? 0 : 1) }

  /// The unsent bytes of a piece, of which there are `pieceCount`.
  @_lifetime(borrow self)
  package func piece(_ index: Int) -> Span<UInt8> {
    let start = index == 0 ? head : 0
    let place = firstPiece + index
    guard place < pieces.count else {
      return tail.span.extracting(min(start, tail.count)..<tail.count)
    }
    let piece = pieces[place]
    let rest = piece.span.extracting(min(start, piece.count)..<piece.count)
    // The bytes lie in an array or an object that the queue holds, so they stay for as long as it
    // is borrowed.
    return unsafe _overrideLifetime(rest, borrowing: self)
  }

  /// The system took so many bytes from the front, at most `count`. Returns what is written to its
  /// end by that.
  mutating func take(_ taken: Int) -> WrittenFrames {
    guard taken < count else {
      empty()
      return frames.takeAll()
    }
    count -= taken
    head += taken
    while firstPiece < pieces.count, head >= pieces[firstPiece].count {
      head -= pieces[firstPiece].count
      pieces[firstPiece] = MessageBytes([])
      firstPiece += 1
    }
    if firstPiece > 32, firstPiece * 2 > pieces.count {
      pieces.removeSubrange(0..<firstPiece)
      firstPiece = 0
    }
    begun += taken
    return frames.take(&begun)
  }

  private mutating func empty() {
    count = 0
    head = 0
    begun = 0
    firstPiece = 0
    if !pieces.isEmpty { pieces = [] }
    if tail.capacity > Self.bufferBytes * 2 {
      tail = []
    } else {
      tail.removeAll(keepingCapacity: true)
    }
  }

  /// Forgets every frame of which nothing was written. One that has begun goes on to its end, for
  /// the peer could read nothing behind half of one.
  mutating func dropUnbegun() {
    guard begun > 0, let size = frames.first else {
      return clear()
    }
    keep(size - begun)
    frames.keepFirst()
  }

  /// Drops what lies behind the first `kept` unsent bytes, at least one.
  private mutating func keep(_ kept: Int) {
    var rest = kept + head
    var place = firstPiece
    while place < pieces.count, rest >= pieces[place].count {
      rest -= pieces[place].count
      place += 1
    }
    count = kept
    guard place < pieces.count else {
      tail.removeSubrange(min(rest, tail.count)...)
      return
    }
    let piece = pieces[place]
    tail = [UInt8](copying: piece.span.extracting(0..<rest))
    pieces.removeSubrange(place...)
  }

  /// Forgets everything.
  mutating func clear() {
    empty()
    _ = frames.takeAll()
  }
}

/// What frames count for once they are written.
struct WrittenFrames {
  /// Messages that need no acknowledgement, and their payload bytes.
  var messages = 0
  var bytes = 0
  /// Messages that do.
  var reliable = 0

  /// Stands for what is no payload of a reliable message; no head is as large.
  static let reliableMark: UInt32 = 31

  /// Adds a frame of so many bytes, of which `overhead` are no payload.
  fileprivate mutating func add(_ size: Int, overhead: UInt32) {
    if overhead == Self.reliableMark {
      reliable += 1
    } else if overhead > 0 {
      messages += 1
      bytes += size - Int(overhead)
    }
  }
}

/// The sizes of the frames that are queued, in order, with the payload that each counts for: four
/// bytes each.
struct FrameSizes {
  /// Bits 31 to 5 are the bytes of the frame, 4 to 0 what of them is no payload; 0 there is a frame
  /// that counts for nothing, `WrittenFrames.reliableMark` a reliable message.
  private var sizes: [UInt32] = []
  private var firstSize = 0
  /// Of all.
  private var sum = WrittenFrames()

  /// Whether it has little memory.
  var isSmall: Bool { sizes.capacity <= 256 }

  /// Bytes of the first frame.
  var first: Int? { firstSize < sizes.count ? Int(sizes[firstSize] >> 5) : nil }

  @inline(__always)
  mutating func append(_ size: Int, overhead: Int) {
    sizes.append(UInt32(truncatingIfNeeded: size) << 5 | UInt32(truncatingIfNeeded: overhead))
    guard overhead > 0 else { return }
    sum.messages += 1
    sum.bytes += size - overhead
  }

  mutating func appendReliable(_ size: Int) {
    sizes.append(UInt32(truncatingIfNeeded: size) << 5 | WrittenFrames.reliableMark)
    sum.reliable += 1
  }

  mutating func takeAll() -> WrittenFrames {
    let all = sum
    sum = WrittenFrames()
    firstSize = 0
    sizes.removeAll(keepingCapacity: sizes.capacity <= 16_384)
    return all
  }

  /// Takes the frames that lie in the first `written` bytes, and leaves there what is behind them.
  mutating func take(_ written: inout Int) -> WrittenFrames {
    var taken = WrittenFrames()
    while let size = first, size <= written {
      written -= size
      taken.add(size, overhead: sizes[firstSize] & 31)
      firstSize += 1
    }
    sum.messages -= taken.messages
    sum.bytes -= taken.bytes
    sum.reliable -= taken.reliable
    if firstSize > 1024, firstSize * 2 > sizes.count {
      sizes.removeSubrange(0..<firstSize)
      firstSize = 0
    }
    return taken
  }

  /// Forgets all frames but the first.
  mutating func keepFirst() {
    guard firstSize < sizes.count else { return }
    let first = sizes[firstSize]
    _ = takeAll()
    sizes.append(first)
    sum.add(Int(first >> 5), overhead: first & 31)
  }
}
