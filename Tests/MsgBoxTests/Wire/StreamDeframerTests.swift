import MsgBox
import Testing

@Suite struct StreamDeframerTests {
  /// A frame with its bytes, wherever they lay.
  struct Whole: Equatable {
    var header: PacketHeader
    var session: UInt64?
    var messageID: UInt32?
    var place: ChannelPlace?
    var payload: [UInt8]
  }

  /// Feeds pieces of a stream and gathers the frames.
  static func frames(
    _ pieces: [ArraySlice<UInt8>], maxMessage: Int = 1000
  ) throws(DropReason) -> [Whole] {
    var deframer = StreamDeframer()
    var frames: [Whole] = []
    for piece in pieces {
      let bytes = Array(piece)
      var offset = 0
      while let frame = try deframer.next(bytes.span, from: &offset, maxMessage: maxMessage) {
        let payload: [UInt8] =
          switch frame.payload.place {
          case .none: []
          case .input: Array(bytes[frame.payload.range])
          case .owned: deframer.takeWhole()
          }
        #expect(payload.count == frame.head.rest)
        frames.append(
          Whole(
            header: frame.head.header, session: frame.head.session,
            messageID: frame.head.messageID, place: frame.head.place, payload: payload))
      }
    }
    return frames
  }

  static let stream: [UInt8] =
    ControlPacket.hello(HandshakeTests.introduction).frame(session: 0)
    + MessageHead(kind: .oneWay).frame(Array("first".utf8))
    + ControlPacket.heartbeat.frame(session: nil)
    + MessageHead(kind: .request, replyID: 1, messageID: 2).frame(Array("second".utf8))
    + MessageHead(kind: .reply, replyID: 3, messageID: 4).frame([])
    + StreamFrameTests.reliable.frame(Array("third".utf8))
    + ControlPacket.close(.normal).frame(session: nil)

  @Test("A whole stream gives its frames, and none is copied")
  func whole() throws {
    let frames = try Self.frames([Self.stream[...]])
    #expect(frames.map(\.header.kind) == [5, 0, 3, 1, 2, 15, 4])
    #expect(frames.map(\.messageID) == [nil, nil, nil, 2, 4, 7, nil])
    #expect(frames.map(\.session) == [0, nil, nil, nil, nil, nil, nil])
    #expect(frames[5].place == StreamFrameTests.reliable.place)
    #expect(frames[1].payload == Array("first".utf8))
    #expect(frames[3].payload == Array("second".utf8))
    var deframer = StreamDeframer()
    var offset = 0
    while let frame = try deframer.next(Self.stream.span, from: &offset, maxMessage: 1000) {
      if frame.payload.place == .owned { Issue.record("a whole frame was copied") }
    }
    #expect(!deframer.isInsideFrame)
  }

  @Test("Every split of a stream gives the same frames")
  func everySplit() throws {
    let whole = try Self.frames([Self.stream[...]])
    for split in 0...Self.stream.count {
      let pieces = [Self.stream[..<split], Self.stream[split...]]
      #expect(try Self.frames(pieces) == whole, "split at \(split)")
    }
  }

  @Test("Pieces of any size give the same frames", arguments: 1...30)
  func pieces(size: Int) throws {
    let pieces = stride(from: 0, to: Self.stream.count, by: size).map {
      Self.stream[$0..<min($0 + size, Self.stream.count)]
    }
    #expect(try Self.frames(pieces) == Self.frames([Self.stream[...]]))
  }

  @Test("Random pieces give the same frames", arguments: 1...100)
  func randomPieces(seed: UInt64) throws {
    var random = RandomSource(seed: seed)
    var pieces: [ArraySlice<UInt8>] = []
    var rest = Self.stream[...]
    while !rest.isEmpty {
      let count = Int(random.below(UInt64(rest.count + 1)))
      pieces.append(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    #expect(try Self.frames(pieces) == Self.frames([Self.stream[...]]), "seed \(seed)")
  }

  @Test("A stream that is cut gives only what came whole, and knows that it is inside a frame")
  func cut() throws {
    let whole = try Self.frames([Self.stream[...]])
    for count in 0...Self.stream.count {
      var deframer = StreamDeframer()
      let part = Array(Self.stream.prefix(count))
      var found = 0
      var consumed = 0
      var offset = 0
      while let frame = try deframer.next(part.span, from: &offset, maxMessage: 1000) {
        #expect(frame.head.header == whole[found].header)
        consumed += 12 + (frame.head.session == nil ? 0 : 8) + (frame.head.messageID == nil ? 0 : 4)
        consumed += (frame.head.place == nil ? 0 : 5) + frame.head.rest
        found += 1
      }
      #expect(deframer.isInsideFrame == (consumed < count))
    }
  }

  @Test("A length out of range breaks the stream as soon as its four bytes are there")
  func lengths() throws {
    for length in [0, 1, 7, 1065, 0x7fff_ffff, .max] as [UInt32] {
      var bytes: [UInt8] = []
      bytes.append(bigEndian: length)
      #expect(throws: DropReason.malformed) { try Self.frames([bytes[...]]) }
      let pieces = bytes.indices.map { bytes[$0...$0] }
      #expect(try Self.frames(Array(pieces.dropLast())).isEmpty)
      #expect(throws: DropReason.malformed) { try Self.frames(pieces) }
    }
    var most: [UInt8] = []
    most.append(bigEndian: UInt32(1064))
    #expect(try Self.frames([most[...]]).isEmpty)
  }

  @Test("A header that is none of ours breaks the stream, whole or in pieces")
  func brokenHeaders() {
    for (header, reason) in [
      ([0x00, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], DropReason.notMsgBox),
      ([0xd0, 0, 0, 1, 0, 0, 0, 0], .version), ([0xc0, 0, 0, 0, 0, 0, 0, 0], .malformed),
      ([0xc4, 0, 0, 1, 0, 0, 0, 0], .malformed), ([0xc0, 0, 0, 2, 0, 0, 0, 0], .malformed),
      ([0xc2, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], .malformed),
    ] as [([UInt8], DropReason)] {
      let frame = [0, 0, 0, 8] + header
      #expect(throws: reason) { try Self.frames([frame[...]]) }
      #expect(throws: reason) { try Self.frames(frame.indices.map { frame[$0...$0] }) }
    }
  }

  @Test("Memory grows with the bytes received, not with the length announced")
  func memory() throws {
    var deframer = StreamDeframer()
    var head: [UInt8] = []
    head.append(bigEndian: UInt32(16_000_000))
    PacketHeader(kind: .oneWay).append(to: &head)
    var received = head.count
    #expect(try Self.next(&deframer, head) == nil)
    #expect(Self.held(deframer) <= 256)
    let piece = [UInt8](repeating: 7, count: 1000)
    for _ in 0..<100 {
      #expect(try Self.next(&deframer, piece) == nil)
      received += piece.count
      #expect(Self.held(deframer) <= 2 * received + 256)
    }
    #expect(deframer.isInsideFrame)
  }

  @Test("A frame that begins gets no more of the memory of others than four times what came of it")
  func lentMemory() throws {
    var buffers = LargeBuffers()
    for _ in 0..<2 {
      var large: [UInt8] = [1]
      large.reserveCapacity(16_000_000)
      buffers.give(large)
    }
    var begin: [UInt8] = []
    begin.append(bigEndian: UInt32(16_000_000))
    PacketHeader(kind: .oneWay).append(to: &begin)
    begin += [UInt8](repeating: 7, count: 100)
    var held = 0
    for _ in 0..<1000 {
      var deframer = StreamDeframer()
      var offset = 0
      let frame = try deframer.next(
        begin.span, from: &offset, maxMessage: WireFormat.defaultStreamLargest, buffers: &buffers)
      #expect(frame == nil)
      #expect(deframer.heldBytes >= 100 && Self.held(deframer) <= 1000)
      held += deframer.heldBytes
    }
    #expect(held <= 400_000)
    var kept = 0
    while buffers.take(of: 16_000_000...Int.max) != nil { kept += 1 }
    #expect(kept == 2)
  }

  @Test("Who has sent a large frame is lent memory for the next one, within what may be held")
  func credit() throws {
    let large = 1 << 20
    let frame = MessageHead(kind: .oneWay).frame([UInt8](repeating: 1, count: large))
    for (allowance, isLent) in [(Int.max, true), (large / 2, false)] {
      var buffers = LargeBuffers()
      var emptied: [UInt8] = [1]
      emptied.reserveCapacity(large)
      buffers.give(emptied)
      var credit = FrameCredit()
      credit.proven = allowance > large ? 2 * large : 0
      credit.allowance = allowance
      var deframer = StreamDeframer()
      var offset = 0
      let begin = Array(frame.prefix(1000))
      let none = try deframer.next(
        begin.span, from: &offset, maxMessage: large, credit: credit, buffers: &buffers)
      #expect(none == nil)
      #expect((deframer.heldBytes >= large) == isLent)
      #expect((buffers.take(of: large...2 * large) == nil) == isLent)
      offset = 0
      let rest = Array(frame.dropFirst(1000))
      let whole = try deframer.next(
        rest.span, from: &offset, maxMessage: large, credit: credit, buffers: &buffers)
      #expect(whole?.head.rest == large)
      #expect(deframer.takeWhole() == [UInt8](repeating: 1, count: large))
    }
  }

  @Test("Memory is given back with the frame")
  func memoryGivenBack() throws {
    var deframer = StreamDeframer()
    let frame = MessageHead(kind: .oneWay).frame([UInt8](repeating: 1, count: 100_000))
    let (first, second) = (Array(frame.prefix(50_000)), Array(frame.dropFirst(50_000)))
    #expect(try Self.next(&deframer, first) == nil)
    #expect(Self.held(deframer) >= 40_000)
    #expect(try Self.next(&deframer, second)?.head.rest == 100_000)
    #expect(deframer.takeWhole().count == 100_000)
    #expect(Self.held(deframer) < 100)
  }

  /// Gives bytes to a deframer, of which at most one frame comes.
  static func next(
    _ deframer: inout StreamDeframer, _ bytes: [UInt8]
  ) throws(DropReason) -> Frame? {
    var offset = 0
    return try deframer.next(
      bytes.span, from: &offset, maxMessage: WireFormat.defaultStreamLargest)
  }

  /// The bytes that the arrays of a deframer have room for.
  static func held(_ deframer: StreamDeframer) -> Int {
    Mirror(reflecting: deframer).children.reduce(0) { sum, child in
      sum + ((child.value as? [UInt8])?.capacity ?? 0)
    }
  }

  @Test("Random streams end in frames or in a reason, and never go on for ever")
  func randomStreams() {
    var random = RandomSource(seed: 4)
    var broken = 0
    for _ in 0..<5000 {
      var stream = Self.stream
      for _ in 0...random.below(3) {
        stream[Int(random.below(UInt64(stream.count)))] = UInt8(truncatingIfNeeded: random.word())
      }
      do throws(DropReason) {
        let frames = try Self.frames([stream.prefix(40), stream.dropFirst(40)])
        #expect(frames.count <= stream.count / 12)
      } catch {
        broken += 1
      }
    }
    #expect(broken > 100)
  }
}
