import MsgBox

/// Ids that are easy to see in a dump, and the same as in the examples of notes.md.
let clientSession: UInt64 = 0x00c1_c1c1_c1c1_c1c1
let serverSession: UInt64 = 0x005e_5e5e_5e5e_5e5e

/// Bytes from hexadecimal digits and blanks; nil for anything else.
func parseHex(_ text: some StringProtocol) -> [UInt8]? {
  let digits = text.filter { !$0.isWhitespace }
  guard digits.count.isMultiple(of: 2) else { return nil }
  var bytes: [UInt8] = []
  var rest = Substring(digits)
  while !rest.isEmpty {
    guard let byte = UInt8(rest.prefix(2), radix: 16), rest.prefix(2).allSatisfy(\.isHexDigit)
    else { return nil }
    bytes.append(byte)
    rest = rest.dropFirst(2)
  }
  return bytes
}

/// What the parser says of a datagram, without the final `.end`.
func steps(_ datagram: [UInt8]) -> [PacketStep] {
  var parser = PacketParser()
  var steps: [PacketStep] = []
  // One more than a parser that always advances can need.
  for _ in 0...datagram.count / PacketHeader.size + 1 {
    let step = parser.next(datagram.span)
    if step == .end { return steps }
    steps.append(step)
  }
  return steps
}

extension PacketStep {
  var packet: Packet? {
    if case .packet(let packet) = self { packet } else { nil }
  }
}

/// Whether a parse stayed within its datagram and its bounds.
func isSound(_ steps: [PacketStep], of datagram: [UInt8]) -> Bool {
  guard steps.count <= datagram.count / PacketHeader.size + 1 else { return false }
  return steps.allSatisfy { step in
    guard let payload = step.packet?.payload else { return true }
    return payload.lowerBound >= PacketHeader.size && payload.upperBound <= datagram.count
  }
}

extension ControlPacket {
  func bytes(session: UInt64?) -> [UInt8] {
    var bytes: [UInt8] = []
    append(to: &bytes, session: session)
    return bytes
  }

  func frame(session: UInt64?) -> [UInt8] {
    var bytes: [UInt8] = []
    StreamFrame.append(self, session: session, to: &bytes)
    return bytes
  }
}

extension MessageHead {
  func frame(_ payload: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    StreamFrame.append(self, payload: payload.span, to: &bytes)
    return bytes
  }
}

extension PackedDatagram {
  var bytes: [UInt8] { Array(buffer.prefix(count)) }
}

extension AckBody {
  var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: self.size)
    var offset = 0
    var span = bytes.mutableSpan
    var target = unsafe span.mutableBytes
    write(to: &target, at: &offset)
    return bytes
  }
}

extension DatagramBuilder {
  mutating func append(_ head: MessageHead, session: UInt64?, copying payload: [UInt8]) -> Bool {
    append(head, session: session, payload: payload.span)
  }
}

/// A datagram with these messages, then perhaps a control packet; nil if they do not fit.
func packed(
  _ messages: [(head: MessageHead, payload: [UInt8])], session: UInt64? = serverSession,
  then control: ControlPacket? = nil
) -> [UInt8]? {
  var builder = DatagramBuilder(buffer: [])
  for (head, payload) in messages {
    guard builder.append(head, session: session, payload: payload.span) else { return nil }
  }
  if let control, !builder.appendControl(control) { return nil }
  return builder.seal().bytes
}

/// One datagram of each shape that this implementation sends.
let sampleDatagrams: [[UInt8]] = {
  let hello = Introduction(session: clientSession, lostAfter: 30_000, largest: 1184)
  let accept = Introduction(session: serverSession, lostAfter: 30_000, largest: 1184)
  let oneWay = MessageHead(kind: .oneWay)
  let request = MessageHead(kind: .request, replyID: 1, messageID: 7)
  let reply = MessageHead(kind: .reply, replyID: 1, messageID: 7)
  let word = Array("hello".utf8)
  let messages = [
    packed([(oneWay, word)]), packed([(request, word)]), packed([(reply, word)]),
    packed([(oneWay, word), (request, word), (reply, []), (oneWay, [])]),
    packed([(oneWay, word), (oneWay, word)], then: .close(.normal)),
    packed([(oneWay, word), (request, word)], then: .heartbeat),
    packed([(MessageHead(kind: .request, replyID: 5), word)], session: nil),
  ]
  var numbered = DatagramBuilder(buffer: [])
  numbered.beginNumbered(77, session: serverSession)
  _ = numbered.append(
    ack: AckBody(largest: 9, delay: 1, ranges: [(7, 9), (1, 3)]), session: serverSession)
  for index in 0..<2 as Range<UInt16> {
    let head = MessageHead(
      kind: .reliable, messageID: 7, numPackets: 2, packetID: index,
      place: ChannelPlace(channel: 1, place: 5))
    _ = numbered.append(head, session: serverSession, payload: word.span)
  }
  let controls = [
    ControlPacket.hello(hello).bytes(session: 0),
    ControlPacket.accept(accept).bytes(session: clientSession),
    ControlPacket.cookie(ControlPacketTests.cookie).bytes(session: clientSession),
    ControlPacket.heartbeat.bytes(session: serverSession),
    ControlPacket.close(.overload).bytes(session: serverSession),
    ControlPacket.pathChallenge(0x0123_4567_89ab_cdef).bytes(session: serverSession),
    ControlPacket.pathResponse(0x0123_4567_89ab_cdef).bytes(session: clientSession),
  ]
  return messages.compactMap { $0 } + controls + [numbered.seal().bytes]
}()

extension StreamDeframer {
  /// The next frame, in memory that no other has used.
  mutating func next(
    _ bytes: Span<UInt8>, from offset: inout Int, maxMessage: Int
  ) throws(DropReason) -> Frame? {
    var buffers = LargeBuffers()
    return try next(bytes, from: &offset, maxMessage: maxMessage, buffers: &buffers)
  }
}
