import MsgBox
import Testing

/// Holds each example in hexadecimal of notes.md against the codec. An example is a fenced block
/// "hex name"; what stands behind a semicolon is a comment.
@Suite struct NotesExampleTests {
  typealias Messages = [(head: MessageHead, payload: [UInt8])]

  static let hello = Introduction(session: clientSession, lostAfter: 30_000, largest: 1184)
  static let accept = Introduction(session: serverSession, lostAfter: 30_000, largest: 1184)
  static let token: UInt64 = 0x0123_4567_89ab_cdef
  static let hi = Array("hi".utf8)
  static let time = Array("time?".utf8)
  static let noon = Array("noon".utf8)
  static let request = MessageHead(kind: .request, replyID: 1, messageID: 0)
  static let reply = MessageHead(kind: .reply, replyID: 1, messageID: 0)
  static let oneWay = MessageHead(kind: .oneWay)

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
    "path_challenge": ControlPacket.pathChallenge(token).bytes(session: serverSession),
    "path_response": ControlPacket.pathResponse(token).bytes(session: clientSession),
    "packed": packed([(oneWay, hi), (request, time), (oneWay, [])]),
    "packed_close": packed([(oneWay, hi)], then: .close(.normal)),
    "implicit_one_way": packed([(oneWay, hi)], session: nil),
    "implicit_request": packed([(MessageHead(kind: .request, replyID: 1), time)], session: nil),
    "tcp_hello": ControlPacket.hello(tcp(clientSession)).frame(session: 0),
    "tcp_accept": ControlPacket.accept(tcp(serverSession)).frame(session: clientSession),
    "tcp_one_way": oneWay.frame(hi),
    "tcp_request": request.frame(time),
    "tcp_reply": reply.frame(noon),
    "tcp_heartbeat": ControlPacket.heartbeat.frame(session: nil),
    "tcp_close": ControlPacket.close(.normal).frame(session: nil),
  ]

  static func tcp(_ session: UInt64) -> Introduction {
    Introduction(
      session: session, lostAfter: 30_000, largest: UInt32(WireFormat.defaultStreamLargest))
  }

  /// What this implementation only receives: its parse, as kinds and payloads or reasons.
  static let received: [String: [String]] = [
    "options_skipped": ["oneWay hi"],
    "option_not_understood": ["drop option"],
    "unknown_kind_skipped": ["skip kind", "oneWay hi"],
    "unknown_kind_dropped": ["drop kind"],
    "first_of_two": ["oneWay hi", "drop notMsgBox"],
  ]

  static func description(of step: PacketStep, _ datagram: [UInt8]) -> String {
    switch step {
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
