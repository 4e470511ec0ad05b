import MsgBox
import Testing

/// Holds each example in hexadecimal of notes.md against the codec. An example is a fenced block
/// "hex name"; what stands behind a semicolon is a comment.
@Suite struct NotesExampleTests {
  typealias Messages = [(head: MessageHead, payload: [UInt8])]

  static let hello = udp(clientSession)
  static let accept = udp(serverSession)
  static let cookie = ControlPacketTests.cookie
  static let token: UInt64 = 0x0123_4567_89ab_cdef
  static let hi = Array("hi".utf8)
  static let time = Array("time?".utf8)
  static let noon = Array("noon".utf8)
  static let request = MessageHead(kind: .request, replyID: 1, messageID: 0)
  static let reply = MessageHead(kind: .reply, replyID: 1, messageID: 0)
  static let oneWay = MessageHead(kind: .oneWay)
  static let reliable = MessageHead(
    kind: .reliable, messageID: 7, place: ChannelPlace(channel: 1, place: 2))
  static let secondPart = MessageHead(
    kind: .request, replyID: 1, messageID: 9, numPackets: 2, packetID: 1)

  /// What this implementation sends, by name.
  static let sent: [String: [UInt8]?] = [
    "one_way": packed([(oneWay, hi)]),
    "request": packed([(request, time)]),
    "reply": packed([(reply, noon)], session: clientSession),
    "heartbeat": ControlPacket.heartbeat.bytes(session: serverSession),
    "close": ControlPacket.close(.normal).bytes(session: serverSession),
    "close_unknown_session": ControlPacket.close(.unknownSession).bytes(session: serverSession),
    "hello": ControlPacket.hello(hello).bytes(session: 0),
    "accept": ControlPacket.accept(accept).bytes(session: clientSession),
    "cookie": ControlPacket.cookie(cookie).bytes(session: clientSession),
    "hello_with_cookie": ControlPacket.hello(hello, cookie).bytes(session: 0),
    "path_challenge": ControlPacket.pathChallenge(token).bytes(session: serverSession),
    "path_response": ControlPacket.pathResponse(token).bytes(session: clientSession),
    "ack": ack,
    "datagram_number": numbered(42, []),
    "reliable": numbered(0, [(reliable, hi)]),
    "fragment_0": packed([(fragment(0), Array("hel".utf8))]),
    "fragment_1": packed([(fragment(1), Array("lo".utf8))]),
    "fragment_of_request": numbered(1, [(secondPart, Array("lo".utf8))]),
    "packed": packed([(oneWay, hi), (request, time), (oneWay, [])]),
    "packed_close": packed([(oneWay, hi)], then: .close(.normal)),
    "implicit_one_way": packed([(oneWay, hi)], session: nil),
    "implicit_request": packed([(MessageHead(kind: .request, replyID: 1), time)], session: nil),
    "tcp_hello": ControlPacket.hello(tcp(clientSession)).frame(session: 0),
    "tcp_accept": ControlPacket.accept(tcp(serverSession)).frame(session: clientSession),
    "tcp_one_way": oneWay.frame(hi),
    "tcp_request": request.frame(time),
    "tcp_reply": reply.frame(noon),
    "tcp_reliable": reliable.frame(hi),
    "tcp_ack": tcpAck,
    "tcp_heartbeat": ControlPacket.heartbeat.frame(session: nil),
    "tcp_close": ControlPacket.close(.normal).frame(session: nil),
  ]

  static let ack: [UInt8]? = {
    var builder = DatagramBuilder(buffer: [])
    let ack = AckBody(largest: 10, delay: 25, ranges: [(9, 10), (7, 7), (0, 3)])
    return builder.append(ack: ack, session: clientSession) ? builder.seal().bytes : nil
  }()

  static let tcpAck: [UInt8] = {
    var bytes: [UInt8] = []
    StreamFrame.append(ackCount: 3, to: &bytes)
    return bytes
  }()

  static func fragment(_ index: UInt16) -> MessageHead {
    MessageHead(kind: .oneWay, messageID: 8, numPackets: 2, packetID: index)
  }

  static func numbered(_ number: UInt32, _ messages: Messages) -> [UInt8]? {
    var builder = DatagramBuilder(buffer: [])
    builder.beginNumbered(number, session: serverSession)
    for (head, payload) in messages {
      guard builder.append(head, session: serverSession, payload: payload.span) else { return nil }
    }
    return builder.seal().bytes
  }

  static func udp(_ session: UInt64) -> Introduction {
    Introduction(
      session: session, lostAfter: 30_000, largest: UInt32(WireFormat.defaultDatagramLargest))
  }

  static func tcp(_ session: UInt64) -> Introduction {
    Introduction(
      session: session, lostAfter: 30_000, largest: UInt32(WireFormat.defaultStreamLargest))
  }

  /// What this implementation only receives: its parse, as kinds and payloads or reasons.
  static let received: [String: [String]] = [
    "ack_of_wrong_size": ["malformed ack"],
    "number_not_first": ["oneWay hi", "drop malformed"],
    "reliable_without_id": ["drop malformed"],
    "fragment_without_id": ["drop malformed"],
    "options_skipped": ["oneWay hi"],
    "option_not_understood": ["drop option"],
    "unknown_kind_skipped": ["skip kind", "oneWay hi"],
    "unknown_kind_dropped": ["drop kind"],
    "first_of_two": ["oneWay hi", "drop notMsgBox"],
  ]

  static func description(of step: PacketStep, _ datagram: [UInt8]) -> String {
    switch step {
    case .packet(let packet)
    where packet.kind == .ack && AckReader(datagram.span, packet.payload) == nil:
      "malformed ack"
    case .packet(let packet):
      "\(packet.kind) \(String(decoding: datagram[packet.payload], as: UTF8.self))"
    case .skip(let reason, _): "skip \(reason)"
    case .drop(let reason): "drop \(reason)"
    case .end: "end"
    }
  }

  /// The examples of notes.md by name.
  static func examples() throws -> [String: [UInt8]] {
    var examples: [String: [UInt8]] = [:]
    for block in try Document("notes.md").blocks("hex") {
      let name = String(block.info.dropFirst(4))
      let text = block.lines.map { $0.prefix { $0 != ";" } }.joined(separator: " ")
      let bytes = try #require(parseHex(text), "\(name): \(text)")
      examples[name] = bytes
    }
    return examples
  }

  @Test("Every example is known, and none is missing")
  func names() throws {
    let known = Set(Self.sent.keys).union(Self.received.keys)
    #expect(Set(try Self.examples().keys) == known)
    #expect(try Document("notes.md").blocks("hex").count == known.count)
  }

  @Test("What the notes show is what is sent", arguments: sent.keys.sorted())
  func sends(name: String) throws {
    let expected = try #require(Self.sent[name] ?? nil)
    #expect(try Self.examples()[name] == expected)
  }

  @Test("What the notes show is parsed as they say", arguments: received.keys.sorted())
  func receives(name: String) throws {
    let datagram = try #require(try Self.examples()[name])
    let found = steps(datagram).map { Self.description(of: $0, datagram) }
    #expect(found == Self.received[name])
  }
}
