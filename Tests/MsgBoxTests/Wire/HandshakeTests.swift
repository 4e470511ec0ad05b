import MsgBox
import Testing

@Suite struct HandshakeTests {
  static let introduction = Introduction(
    session: clientSession, lostAfter: 30_000, largest: 1184)
  static let body: [UInt8] =
    [0x00, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1] + [0, 0, 0x75, 0x30] + [0, 0, 0x04, 0xa0]

  @Test("An introduction is read as it was written")
  func roundTrip() {
    var written: [UInt8] = []
    Self.introduction.append(to: &written)
    #expect(written == Self.body)
    let size = Introduction.acceptSize
    #expect(Introduction(written.span, 0..<16, atLeast: size) == Self.introduction)
  }

  @Test("Extremes survive", arguments: [0, 1, UInt32.max - 1, .max])
  func extremes(number: UInt32) {
    let introduction = Introduction(session: .max, lostAfter: number, largest: ~number)
    var written: [UInt8] = []
    introduction.append(to: &written)
    #expect(Introduction(written.span, 0..<16, atLeast: 16) == introduction)
  }

  @Test("A body that is too short is none, and one that is longer is read")
  func sizes() {
    let long = Self.body + [UInt8](repeating: 0, count: 32)
    for count in 0..<Introduction.acceptSize {
      #expect(Introduction(long.span, 0..<count, atLeast: Introduction.acceptSize) == nil)
    }
    for count in 0..<Introduction.helloSize {
      #expect(Introduction(long.span, 0..<count, atLeast: Introduction.helloSize) == nil)
    }
    for count in [32, 33, 48] {
      let hello = Introduction(long.span, 0..<count, atLeast: Introduction.helloSize)
      #expect(hello == Self.introduction)
    }
  }

  @Test("Nobody's own id is 0")
  func zeroSession() {
    let zeros = [UInt8](repeating: 0, count: 32)
    #expect(Introduction(zeros.span, 0..<32, atLeast: 32) == nil)
  }

  @Test("A range that does not lie in the bytes is no introduction")
  func outOfRange() {
    #expect(Introduction(Self.body.span, 8..<24, atLeast: 16) == nil)
    #expect(Introduction(Self.body.span, 100..<116, atLeast: 16) == nil)
  }
}

@Suite struct ControlPacketTests {
  static let introduction = HandshakeTests.introduction
  static let cookie = Cookie(high: 0x0011_2233_4455_6677, low: 0x8899_aabb_ccdd_eeff)
  static let packets: [(packet: ControlPacket, kind: PacketKind, size: Int)] = [
    (.heartbeat, .heartbeat, 16), (.close(.normal), .close, 16), (.close(.replaced), .close, 16),
    (.hello(introduction), .hello, 48), (.accept(introduction), .accept, 32),
    (.cookie(cookie), .cookie, 32), (.hello(introduction, cookie), .hello, 48),
    (.pathChallenge(.max), .pathChallenge, 24), (.pathResponse(1), .pathResponse, 24),
  ]

  @Test("Each has the size that the specification says", arguments: packets.indices)
  func sizes(index: Int) {
    let (packet, kind, size) = Self.packets[index]
    #expect(packet.kind == kind)
    #expect(packet.bytes(session: serverSession).count == size)
    #expect(packet.bytes(session: nil).count == size - 8)
    #expect(packet.frame(session: serverSession).count == size + 4)
    #expect(packet.frame(session: nil).count == size - 4)
  }

  @Test("Each is parsed as what it is", arguments: packets.indices)
  func parsed(index: Int) throws {
    let (packet, kind, size) = Self.packets[index]
    let parsed = try #require(steps(packet.bytes(session: serverSession)).first?.packet)
    #expect(parsed.kind == kind)
    #expect(parsed.session == serverSession)
    #expect(parsed.payload == 16..<size)
    #expect(parsed.header.numPackets == 1)
    #expect(parsed.header.packetID == 0)
  }

  @Test("No answer is larger than what caused it")
  func amplification() {
    let hello = ControlPacket.hello(Self.introduction).bytes(session: 0).count
    #expect(ControlPacket.accept(Self.introduction).bytes(session: 1).count < hello)
    #expect(ControlPacket.cookie(Self.cookie).bytes(session: 1).count < hello)
    #expect(ControlPacket.close(.overload).bytes(session: 1).count < hello)
    let heartbeat = ControlPacket.heartbeat.bytes(session: 1).count
    #expect(ControlPacket.close(.unknownSession).bytes(session: 1).count <= heartbeat)
    #expect(
      ControlPacket.pathResponse(1).bytes(session: 1).count
        <= ControlPacket.pathChallenge(1).bytes(session: 1).count)
  }

  @Test("A close has its reason where replies have their id", arguments: CloseReason.allCases)
  func reasons(reason: CloseReason) throws {
    let bytes = ControlPacket.close(reason).bytes(session: serverSession)
    let packet = try #require(steps(bytes).first?.packet)
    #expect(packet.header.replyID == reason.rawValue)
    #expect(packet.payload.isEmpty)
  }

  @Test("A hello has zeros where others have the cookie that they were given")
  func noCookie() {
    let bytes = ControlPacket.hello(Self.introduction).bytes(session: 0)
    #expect(bytes[8..<16].allSatisfy { $0 == 0 })
    #expect(bytes[32..<48].allSatisfy { $0 == 0 })
    #expect(Cookie(bytes.span, at: 32) == Cookie.none)
  }

  @Test("A cookie goes back as it came")
  func cookieReturns() {
    let given = ControlPacket.cookie(Self.cookie).bytes(session: clientSession)
    #expect(given[16...].elementsEqual((0..<16).map { UInt8($0 * 0x11) }))
    #expect(Cookie(given.span, at: 16) == Self.cookie)
    #expect(Cookie(given.span, at: 17) == nil)
    let hello = ControlPacket.hello(Self.introduction, Self.cookie).bytes(session: 0)
    #expect(hello[32...] == given[16...])
  }
}
