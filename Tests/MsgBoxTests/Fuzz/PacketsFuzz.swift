import MsgBox

/// One datagram of any bytes. The parser's ways agree with each other, every payload lies behind the one before it, and
/// what was read and is written again is the same.
enum PacketsFuzz {
  static func run(_ datagram: [UInt8]) {
    var parser = PacketParser()
    var end = 0
    var steps = 0
    while true {
      let before = parser
      let step = parser.next(datagram.span)
      hold(steps <= datagram.count / PacketHeader.size + 1)
      compare(step, before, parser, datagram, isFirst: steps == 0)
      steps += 1
      switch step {
      case .packet(let packet):
        hold(packet.payload.lowerBound >= end + PacketHeader.size)
        hold(packet.payload.upperBound <= datagram.count)
        hold(packet.session == nil || steps == 1)
        end = packet.payload.upperBound
        look(at: packet, datagram)
      case .skip:
        continue
      case .drop:
        hold(parser.isAtEnd(datagram.span))
        hold(parser.next(datagram.span) == .end, "packets behind a drop")
        return
      case .end:
        hold(parser.isAtEnd(datagram.span))
        return
      }
    }
  }

  /// The short ways give what the long one gives, or nothing.
  private static func compare(
    _ step: PacketStep, _ before: PacketParser, _ after: PacketParser, _ datagram: [UInt8],
    isFirst: Bool
  ) {
    let isAtEnd = after.isAtEnd(datagram.span)
    var parser = before
    if let packet = parser.nextMessage(datagram.span, isFirst: isFirst) {
      hold(step == .packet(packet) && parser.isAtEnd(datagram.span) == isAtEnd)
    }
    guard !isFirst else { return }
    parser = before
    if let payload = parser.nextOneWay(datagram.span) {
      guard case .packet(let packet) = step else { return report("a packet out of \(step)") }
      hold(packet.kind == .oneWay && packet.payload == payload && packet.messageID == nil)
      hold(parser.isAtEnd(datagram.span) == isAtEnd)
    }
    parser = before
    if let numbered = parser.nextNumbered(datagram.span) {
      guard case .packet(let packet) = step else { return report("a packet out of \(step)") }
      hold(packet.kind == (numbered.isRequest ? .request : .reply))
      hold(packet.header.replyID == numbered.replyID && packet.messageID == numbered.messageID)
      hold(packet.payload == numbered.payload && parser.isAtEnd(datagram.span) == isAtEnd)
    }
  }

  private static func look(at packet: Packet, _ datagram: [UInt8]) {
    switch packet.kind {
    case .hello: introduction(packet, datagram, Introduction.helloSize)
    case .accept: introduction(packet, datagram, Introduction.acceptSize)
    case .cookie:
      let cookie = Cookie(datagram.span, at: packet.payload.lowerBound)
      hold(packet.payload.count < Cookie.size || cookie != nil)
    case .ack: ack(datagram, packet.payload)
    case .datagramNumber:
      let isThere = packet.payload.count >= WireFormat.datagramNumberSize
      hold((packet.datagramNumber(datagram.span) != nil) == isThere)
    case .oneWay, .request, .reply, .reliable: rebuild(packet, datagram)
    case .heartbeat, .close, .pathChallenge, .pathResponse: break
    }
  }

  private static func introduction(_ packet: Packet, _ datagram: [UInt8], _ size: Int) {
    let read = Introduction(datagram.span, packet.payload, atLeast: size)
    hold(packet.payload.count >= size || read == nil)
    guard let read else { return }
    var written: [UInt8] = []
    read.append(to: &written)
    hold(written.elementsEqual(datagram[packet.payload].prefix(Introduction.acceptSize)))
  }

  /// An ack names every range once, and is the same when it is written again.
  private static func ack(_ datagram: [UInt8], _ body: Range<Int>) {
    guard var reader = AckReader(datagram.span, body) else { return }
    var ranges: [(first: UInt32, last: UInt32)] = []
    while let range = reader.next(datagram.span) {
      ranges.append(range)
      guard hold(ranges.count <= WireFormat.maxAckRanges) else { return }
    }
    hold(ranges.first?.last == reader.largest)
    let ack = AckBody(largest: reader.largest, delay: reader.delay, ranges: ranges)
    guard hold(ack.size == body.count) else { return }
    var builder = DatagramBuilder(buffer: [])
    hold(builder.append(ack: ack, session: nil))
    let written = builder.seal()
    hold(written.buffer[PacketHeader.size..<written.count].elementsEqual(datagram[body]))
  }

  /// The packet of a message is the same behind the builder, but for its options.
  private static func rebuild(_ packet: Packet, _ datagram: [UInt8]) {
    let head = MessageHead(
      kind: packet.kind, replyID: packet.header.replyID, messageID: packet.messageID,
      numPackets: packet.header.numPackets, packetID: packet.header.packetID, place: packet.place)
    var builder = DatagramBuilder(buffer: [])
    let payload = datagram[packet.payload]
    let fits = builder.room(for: head, session: packet.session).map { $0 >= payload.count }
    let isWritten = builder.append(head, session: packet.session, payload: Array(payload).span)
    guard hold(isWritten == (fits ?? false)), isWritten else { return }
    let written = builder.seal()
    var parser = PacketParser()
    guard case .packet(let again) = parser.next(written.span) else {
      return report("what was written cannot be read")
    }
    hold(again.kind == packet.kind && again.session == packet.session)
    hold(again.messageID == packet.messageID && again.place == packet.place)
    hold(again.header.replyID == packet.header.replyID)
    hold(written.buffer[again.payload].elementsEqual(payload))
    hold(parser.isAtEnd(written.span))
  }
}
