import MsgBox

/// Packets built and read byte by byte, without the codec under test.
enum RawPacket {
  /// The kinds of packets, in the order of the specification.
  enum Kind: UInt8, CaseIterable {
    case oneWay, request, reply, heartbeat, close, hello, accept, cookie, challenge, response
  }

  static let session: UInt16 = 0x0800
  static let length: UInt16 = 0x0400
  static let fragment: UInt16 = 0x0200
  static let option: UInt16 = 0x0100

  static func u16(_ value: UInt16) -> [UInt8] {
    [UInt8(value >> 8), UInt8(value & 0xff)]
  }

  static func u32(_ value: UInt32) -> [UInt8] {
    u16(UInt16(value >> 16)) + u16(UInt16(truncatingIfNeeded: value))
  }

  static func u64(_ value: UInt64) -> [UInt8] {
    u32(UInt32(value >> 32)) + u32(UInt32(truncatingIfNeeded: value))
  }

  /// The base header, and the session if there is one.
  static func header(
    _ kind: Kind, session: UInt64? = nil, flags: UInt16 = 0, packets: UInt16 = 1,
    packet: UInt16 = 0, replyID: UInt16 = 0
  ) -> [UInt8] {
    let type = 0xc000 | (session == nil ? 0 : Self.session) | flags | UInt16(kind.rawValue)
    let base = u16(type) + u16(packets) + u16(packet) + u16(replyID)
    return session.map { base + u64($0) } ?? base
  }

  static func hello(
    own: UInt64, lostAfter: UInt32 = 30_000, largest: UInt32 = 1_048_576, version: UInt16 = 0,
    cookie: [UInt8] = [UInt8](repeating: 0, count: 16)
  ) -> [UInt8] {
    var bytes =
      header(.hello, session: 0) + u64(own) + u32(lostAfter) + u32(largest) + cookie
    bytes[0] |= UInt8(version << 4)
    return bytes
  }

  static func accept(
    _ session: UInt64, own: UInt64, lostAfter: UInt32 = 30_000, largest: UInt32 = 1_048_576
  ) -> [UInt8] {
    header(.accept, session: session) + u64(own) + u32(lostAfter) + u32(largest)
  }

  static func cookie(_ session: UInt64, _ cookie: [UInt8]) -> [UInt8] {
    header(.cookie, session: session) + cookie
  }

  static func heartbeat(_ session: UInt64?) -> [UInt8] { header(.heartbeat, session: session) }

  static func close(_ session: UInt64?, reason: UInt16 = 0) -> [UInt8] {
    header(.close, session: session, replyID: reason)
  }

  static func oneWay(_ session: UInt64?, _ payload: [UInt8]) -> [UInt8] {
    header(.oneWay, session: session) + payload
  }

  static func oneWay(_ session: UInt64?, _ text: String) -> [UInt8] {
    oneWay(session, Array(text.utf8))
  }

  static func request(
    _ session: UInt64?, replyID: UInt16, messageID: UInt32, _ payload: [UInt8]
  ) -> [UInt8] {
    header(.request, session: session, flags: fragment, replyID: replyID)
      + u32(messageID) + payload
  }

  static func reply(
    _ session: UInt64?, replyID: UInt16, messageID: UInt32, _ payload: [UInt8]
  ) -> [UInt8] {
    header(.reply, session: session, flags: fragment, replyID: replyID)
      + u32(messageID) + payload
  }

  /// A frame of a stream: the length and the packet.
  static func frame(_ packet: [UInt8]) -> [UInt8] { u32(UInt32(packet.count)) + packet }

  static func number(_ bytes: [UInt8], at offset: Int, count: Int) -> UInt64? {
    guard offset + count <= bytes.count else { return nil }
    return bytes[offset..<(offset + count)].reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension Datagram {
  /// The kind of the first packet.
  var kind: RawPacket.Kind? {
    bytes.count >= 8 && bytes[0] >> 6 == 3 ? RawPacket.Kind(rawValue: bytes[1]) : nil
  }

  /// The session that the first packet names.
  var session: UInt64? {
    guard bytes.count >= 16, bytes[0] & 0x08 != 0 else { return nil }
    return RawPacket.number(bytes, at: 8, count: 8)
  }

  /// The own id in the body of a hello or an accept.
  var ownID: UInt64? { RawPacket.number(bytes, at: 16, count: 8) }

  /// The body of a cookie.
  var cookie: [UInt8] { Array(bytes.dropFirst(16)) }

  /// The last of the four numbers of the first header: the reason of a close.
  var replyID: UInt16? {
    RawPacket.number(bytes, at: 6, count: 2).map { UInt16(truncatingIfNeeded: $0) }
  }
}

extension Stranger {
  /// Shakes hands with a UDP listener as a client would; gives the session to send with.
  func shakeHands(
    with listener: Address, own: UInt64, in simulation: Simulation
  ) -> UInt64? {
    send(RawPacket.hello(own: own), to: listener)
    simulation.run(within: .seconds(2)) {
      received.contains { $0.kind == .accept && $0.session == own }
    }
    guard let accept = received.last(where: { $0.kind == .accept && $0.session == own }),
      let session = accept.ownID
    else { return nil }
    send(RawPacket.heartbeat(session), to: listener)
    simulation.run(for: .milliseconds(100))
    return session
  }
}
