import MsgBox
import Testing

@Suite struct DatagramBuilderTests {
  static let oneWay = MessageHead(kind: .oneWay)
  static let request = MessageHead(kind: .request, replyID: 1, messageID: 0)

  static func payload(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0) }
  }

  @Test("A lone message fills a datagram to the last byte, and no further")
  func loneMessage() throws {
    #expect(WireFormat.maxLonePayload == 1184)
    let full = try #require(packed([(Self.oneWay, Self.payload(1184))]))
    #expect(full.count == 1200)
    #expect(steps(full).first?.packet?.payload == 16..<1200)
    #expect(packed([(Self.oneWay, Self.payload(1185))]) == nil)
    #expect(packed([(Self.request, Self.payload(1180))])?.count == 1200)
    #expect(packed([(Self.request, Self.payload(1181))]) == nil)
    #expect(packed([(Self.oneWay, Self.payload(1192))], session: nil)?.count == 1200)
    #expect(packed([(Self.oneWay, Self.payload(1193))], session: nil) == nil)
  }

  @Test("Two messages fill a datagram to the last byte, and no further")
  func twoMessages() throws {
    // 8 + 8 + 2 + 100 for the first, 8 for the second's header.
    for count in [1070, 1071, 1072, 1073, 1074] {
      let messages = [(Self.oneWay, Self.payload(100)), (Self.oneWay, Self.payload(count))]
      let datagram = try #require(packed(messages))
      #expect(datagram.count == 126 + count)
      let packets = steps(datagram).compactMap(\.packet)
      #expect(packets.map(\.payload.count) == [100, count])
      #expect(packets.map { $0.header.flags.contains(.length) } == [true, false])
    }
    let tooMany = [(Self.oneWay, Self.payload(100)), (Self.oneWay, Self.payload(1075))]
    #expect(packed(tooMany) == nil)
  }

  @Test("The last packet has no length, whatever it is")
  func lastLength() throws {
    let message = (Self.oneWay, Self.payload(3))
    let one = try #require(packed([message]))
    let session = [0] + [UInt8](repeating: 0x5e, count: 7)
    #expect(one == [0xc8, 0, 0, 1, 0, 0, 0, 0] + session + [0, 1, 2])
    let two = try #require(packed([message, (Self.request, [])]))
    #expect(
      two == [0xcc, 0, 0, 1, 0, 0, 0, 0] + session + [0, 3, 0, 1, 2]
        + [0xc2, 1, 0, 1, 0, 0, 0, 1] + [0, 0, 0, 0])
    let closed = try #require(packed([message, message], then: .close(.idle)))
    let packets = steps(closed).compactMap(\.packet)
    #expect(packets.map(\.kind) == [.oneWay, .oneWay, .close])
    #expect(packets.map { $0.header.flags.contains(.length) } == [true, true, false])
    #expect(packets.last?.header.replyID == CloseReason.idle.rawValue)
  }

  @Test("A close goes into the datagram exactly if it fits, and nothing behind it")
  func control() {
    #expect(packed([(Self.oneWay, Self.payload(1174))], then: .close(.normal))?.count == 1200)
    #expect(packed([(Self.oneWay, Self.payload(1175))], then: .close(.normal)) == nil)
    #expect(packed([(Self.oneWay, Self.payload(1184))], then: .heartbeat) == nil)
    var builder = DatagramBuilder(buffer: [])
    let appended = builder.append(Self.oneWay, session: serverSession, copying: [])
    #expect(appended)
    let (first, second) = (builder.appendControl(.heartbeat), builder.appendControl(.heartbeat))
    #expect(first && !second)
    let third = builder.append(Self.oneWay, session: serverSession, copying: [])
    #expect(!third)
    let kinds = steps(builder.seal().bytes).map { $0.packet?.kind }
    #expect(kinds == [.oneWay, .heartbeat])
  }

  @Test("A message that is refused leaves the datagram as it was")
  func refused() {
    var builder = DatagramBuilder(buffer: [])
    let first = builder.append(Self.oneWay, session: serverSession, copying: [1, 2])
    let big = Self.payload(1184)
    let second = builder.append(Self.oneWay, session: serverSession, copying: big)
    #expect(first && !second)
    #expect(builder.seal().bytes == packed([(Self.oneWay, [1, 2])]))
  }

  @Test("A sealed builder is empty and begins a datagram of its own")
  func reuse() {
    var builder = DatagramBuilder(buffer: [1, 2, 3])
    #expect(builder.isEmpty)
    for _ in 0..<2 {
      let appended = builder.append(Self.oneWay, session: 5, copying: [7])
      #expect(appended && !builder.isEmpty)
      let datagram = builder.seal().bytes
      #expect(builder.isEmpty)
      #expect(steps(datagram).map { $0.packet?.session } == [5])
    }
    #expect(builder.seal().bytes.isEmpty)
  }

  struct Message: Equatable {
    var head: MessageHead
    var payload: [UInt8]
  }

  static func message(_ random: inout RandomSource, _ number: Int) -> Message {
    let kinds: [PacketKind] = [.oneWay, .request, .reply]
    let kind = kinds[Int(random.below(3))]
    let isBig = random.below(10) == 0
    let most = kind == .oneWay ? 1185 : 1181
    let bytes = payload(Int(random.below(isBig ? UInt64(most) : 60)))
    let id = UInt16(truncatingIfNeeded: number)
    guard kind != .oneWay else { return Message(head: oneWay, payload: bytes) }
    let head = MessageHead(kind: kind, replyID: id, messageID: UInt32(truncatingIfNeeded: number))
    return Message(head: head, payload: bytes)
  }

  /// The messages that the parser finds in datagrams.
  static func messages(_ datagrams: [[UInt8]]) throws -> [Message] {
    var messages: [Message] = []
    for datagram in datagrams {
      for step in steps(datagram) {
        let packet = try #require(step.packet)
        let head = MessageHead(
          kind: packet.kind, replyID: packet.header.replyID, messageID: packet.messageID)
        messages.append(Message(head: head, payload: Array(datagram[packet.payload])))
      }
    }
    return messages
  }

  @Test("What joins others is packed as any message is; what does not changes nothing")
  func joining() {
    var random = RandomSource(seed: 7)
    var joined = 0
    for _ in 0..<300 {
      var (short, general) = (DatagramBuilder(buffer: []), DatagramBuilder(buffer: []))
      for number in 0..<Int(random.below(30)) {
        let message = Self.message(&random, number)
        let payload = message.payload
        let hasJoined = short.join(message.head, payload.span)
        let fits = general.append(message.head, session: serverSession, payload: payload.span)
        if hasJoined {
          joined += 1
          #expect(fits && number > 0)
        } else {
          // No room for a length, and so for nothing behind it.
          #expect(number == 0 || !fits || general.room == 0)
          let isAppended = short.append(
            message.head, session: serverSession, payload: payload.span)
          #expect(isAppended == fits)
        }
      }
      #expect(short.seal().bytes == general.seal().bytes)
    }
    #expect(joined > 1000)
  }

  @Test("What is packed, the parser gives back, in order", arguments: 1...200)
  func property(seed: UInt64) throws {
    var random = RandomSource(seed: seed)
    let sent = (0..<Int(random.below(60)) + 1).map { Self.message(&random, $0) }
    var datagrams: [[UInt8]] = []
    var builder = DatagramBuilder(buffer: [])
    for message in sent {
      if builder.append(message.head, session: serverSession, payload: message.payload.span) {
        continue
      }
      datagrams.append(builder.seal().bytes)
      let fits = builder.append(
        message.head, session: serverSession, payload: message.payload.span)
      try #require(fits, "seed \(seed)")
    }
    datagrams.append(builder.seal().bytes)
    #expect(try Self.messages(datagrams) == sent, "seed \(seed)")
    for datagram in datagrams {
      #expect(datagram.count <= WireFormat.maxDatagram)
      #expect(steps(datagram).first?.packet?.session == serverSession)
    }
    // No two neighbours would have fitted into one.
    for (one, next) in zip(datagrams, datagrams.dropFirst()) {
      let first = try #require(try Self.messages([next]).first)
      let size = PacketHeader.size + first.head.blockSize + first.payload.count
      #expect(one.count + WireFormat.lengthSize + size > WireFormat.maxDatagram, "seed \(seed)")
    }
  }
}
