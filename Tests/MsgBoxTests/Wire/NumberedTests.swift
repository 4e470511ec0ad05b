import MsgBox
import Testing

/// Numbered datagrams, reliable packets and fragments.
@Suite struct NumberedTests {
  static let place = ChannelPlace(channel: 3, place: 0x0a0b_0c0d)
  static let reliable = MessageHead(kind: .reliable, messageID: 7, place: place)
  static let fragment = MessageHead(kind: .oneWay, messageID: 7, numPackets: 3, packetID: 1)
  static let request = MessageHead(
    kind: .request, replyID: 1, messageID: 7, numPackets: 65_535, packetID: 65_534)

  static func payload(_ count: Int) -> [UInt8] { DatagramBuilderTests.payload(count) }

  static func numbered(_ number: UInt32 = 5, session: UInt64? = serverSession) -> DatagramBuilder {
    var builder = DatagramBuilder(buffer: [])
    builder.beginNumbered(number, session: session)
    return builder
  }

  @Test("A number comes first, with session and length, and what follows is not changed by it")
  func number() throws {
    var builder = Self.numbered(0x0102_0304)
    let appended = builder.append(Self.reliable, session: serverSession, copying: [1])
    #expect(appended)
    let datagram = builder.seal().bytes
    let session = [0] + [UInt8](repeating: 0x5e, count: 7)
    #expect(
      datagram == [0xcc, 14, 0, 1, 0, 0, 0, 0] + session + [0, 4, 1, 2, 3, 4]
        + [0xc2, 15, 0, 1, 0, 0, 0, 0] + [0, 0, 0, 7] + [3, 10, 11, 12, 13] + [1])
    let packets = steps(datagram).compactMap(\.packet)
    try #require(packets.count == 2)
    #expect(packets[0].datagramNumber(datagram.span) == 0x0102_0304)
    #expect(packets[1].place == Self.place)
    #expect(packets[1].messageID == 7)
    #expect(packets[1].payload == 39..<40)
  }

  @Test("A number alone has no length, and one behind others is not written")
  func numberAlone() throws {
    var builder = Self.numbered()
    builder.beginNumbered(6, session: serverSession)
    let datagram = builder.seal().bytes
    #expect(datagram.count == 20)
    let packet = try #require(steps(datagram).first?.packet)
    #expect(packet.datagramNumber(datagram.span) == 5)
    #expect(!packet.header.flags.contains(.length))
  }

  @Test("A number that is not the first of its datagram is malformed, a short one is none")
  func misplacedNumber() {
    let first = PacketParserTests.packet(0xc, 0, PacketParserTests.id + [0, 0])
    let later = first + PacketParserTests.packet(0, 14, [0, 0, 0, 1])
    #expect(steps(later).last == .drop(.malformed))
    for count in 0..<4 {
      let short = PacketParserTests.packet(
        0xc, 14, PacketParserTests.id + [0, UInt8(count)] + [UInt8](repeating: 1, count: count))
      let datagram = short + PacketParserTests.packet(0, 3)
      #expect(steps(datagram).first?.packet?.datagramNumber(datagram.span) == nil)
    }
  }

  @Test("The payloads of fragments fill a datagram to the last byte, and no further")
  func fragmentSizes() throws {
    #expect(WireFormat.oneWayFragment == 1180)
    #expect(WireFormat.requestFragment == 1166)
    #expect(WireFormat.reliableFragment == 1161)
    #expect(WireFormat.numberPacketSize == 22)
    let lone = (Self.fragment, WireFormat.oneWayFragment)
    #expect(packed([(lone.0, Self.payload(lone.1))])?.count == 1200)
    #expect(packed([(lone.0, Self.payload(lone.1 + 1))]) == nil)
    for (head, size) in [
      (Self.request, WireFormat.requestFragment), (Self.reliable, WireFormat.reliableFragment),
    ] {
      var builder = Self.numbered()
      let tooBig = builder.append(head, session: 1, copying: Self.payload(size + 1))
      let fits = builder.append(head, session: 1, copying: Self.payload(size))
      #expect(!tooBig && fits)
      let datagram = builder.seal().bytes
      #expect(datagram.count == 1200)
      #expect(steps(datagram).last?.packet?.payload.count == size)
    }
    let packets = WireFormat.maxMessage / WireFormat.reliableFragment + 1
    #expect(packets <= WireFormat.maxPackets)
  }

  @Test("The room that a builder tells is what it takes, to the byte")
  func room() {
    let heads = [Self.reliable, Self.fragment, Self.request, DatagramBuilderTests.oneWay]
    for first in [nil, 0, 1, 500, 1100, 1140, 1150, 1160, 1164, 1165, 1166, 1170, 1174] as [Int?] {
      for session in [nil, serverSession] {
        for head in heads {
          var builder = DatagramBuilder(buffer: [])
          if let first {
            let appended = builder.append(
              DatagramBuilderTests.oneWay, session: serverSession, copying: Self.payload(first))
            #expect(appended)
          }
          if head.blockSize == 0, first != nil || session != nil {
            #expect(builder.room == builder.room(for: head, session: session) ?? 0)
          }
          guard let room = builder.room(for: head, session: session) else {
            let fits = builder.append(head, session: session, copying: [])
            #expect(!fits)
            continue
          }
          let tooBig = builder.append(head, session: session, copying: Self.payload(room + 1))
          let fits = builder.append(head, session: session, copying: Self.payload(room))
          #expect(!tooBig && fits)
          #expect(builder.room == 0)
          #expect(builder.room(for: head, session: session) == nil)
        }
      }
    }
  }

  @Test("An ack goes into a datagram of its own, behind a number, or between messages")
  func acks() throws {
    let ack = AckBody(largest: 9, delay: 1, ranges: [(8, 9), (1, 2)])
    var builder = DatagramBuilder(buffer: [])
    let alone = builder.append(ack: ack, session: serverSession)
    #expect(alone)
    let datagram = builder.seal().bytes
    #expect(datagram.count == 16 + ack.size)
    #expect(steps(datagram).first?.packet?.session == serverSession)
    var shared = Self.numbered()
    let second = shared.append(ack: ack, session: serverSession)
    let third = shared.append(Self.reliable, session: serverSession, copying: [1, 2])
    #expect(second && third)
    let bytes = shared.seal().bytes
    let packets = steps(bytes).compactMap(\.packet)
    #expect(packets.map(\.kind) == [.datagramNumber, .ack, .reliable])
    try #require(packets.count == 3)
    let reader = AckReader(bytes.span, packets[1].payload)
    #expect(reader?.largest == 9)
  }

  @Test("An ack is refused exactly if it does not fit, and the room tells how it does")
  func ackRoom() {
    let ack = AckBody(largest: 998, delay: 0, ranges: AckTests.evenNumbers(500))
    #expect(ack.size == 1028)
    for count in [146, 147, 400, 1165, 1166, 1167, 1174] {
      var builder = DatagramBuilder(buffer: [])
      let first = builder.append(
        DatagramBuilderTests.oneWay, session: 1, copying: Self.payload(count))
      let room = builder.room
      let whole = builder.append(ack: ack, session: 1)
      #expect(first && whole == (room >= ack.size))
      #expect(whole == (count == 146))
      #expect(builder.seal().bytes.count <= WireFormat.maxDatagram)
    }
  }

  @Test("Several packets, or a reliable one, without a message id are malformed")
  func withoutMessageID() {
    for kind in PacketKind.allCases {
      let packet = PacketHeader(kind: kind, flags: .session, numPackets: 2, packetID: 1)
      var datagram: [UInt8] = []
      packet.append(to: &datagram)
      datagram += PacketParserTests.id + [0, 0, 0, 1, 0, 0, 0, 0, 1]
      #expect(steps(datagram) == [.drop(.malformed)], "\(kind)")
      datagram[0] |= 0x02
      #expect(steps(datagram).first?.packet?.header.numPackets == 2, "\(kind)")
      #expect(steps(datagram).first?.packet?.messageID == 1, "\(kind)")
    }
    let reliable = PacketParserTests.packet(0x8, 15, PacketParserTests.id + [0, 0, 0, 0, 1, 9, 9])
    #expect(steps(reliable) == [.drop(.malformed)])
  }

  @Test("Every truncation of a reliable packet's fields is short, and options follow them")
  func reliableFields() {
    let fields: [UInt8] = [0, 0, 0, 7, 3, 0, 0, 0, 9]
    for count in 0...fields.count {
      let datagram = PacketParserTests.packet(
        0xa, 15, PacketParserTests.id + fields.prefix(count))
      guard count == fields.count else {
        #expect(steps(datagram) == [.drop(.short)])
        // What lies behind the body is not taken for its fields.
        let shared =
          PacketParserTests.packet(
            0xe, 15, PacketParserTests.id + [0, UInt8(count)] + fields.prefix(count))
          + PacketParserTests.packet(0, 3)
        #expect(steps(shared) == [.drop(.short)])
        continue
      }
      let packet = steps(datagram).first?.packet
      #expect(packet?.place == ChannelPlace(channel: 3, place: 9))
      #expect(packet?.payload.isEmpty == true)
    }
    let options = PacketParserTests.packet(
      0xb, 15, PacketParserTests.id + fields + [0, 2, 0x90, 0, 5])
    #expect(steps(options).first?.packet?.payload == 29..<30)
  }

  static func head(_ random: inout RandomSource) -> MessageHead {
    let kinds: [PacketKind] = [.oneWay, .request, .reply, .reliable]
    let kind = kinds[Int(random.below(4))]
    let number = UInt32(truncatingIfNeeded: random.word())
    let numPackets = UInt16(random.below(2) == 0 ? 1 : random.below(65_535) + 1)
    let hasID = kind != .oneWay || numPackets > 1 || random.below(2) == 0
    return MessageHead(
      kind: kind, replyID: UInt16(random.below(65_536)), messageID: hasID ? number : nil,
      numPackets: numPackets, packetID: UInt16(random.below(UInt64(numPackets))),
      place: kind == .reliable
        ? ChannelPlace(channel: UInt8(random.below(256)), place: ~number) : nil)
  }

  static func head(of packet: Packet) -> MessageHead {
    MessageHead(
      kind: packet.kind, replyID: packet.header.replyID, messageID: packet.messageID,
      numPackets: packet.header.numPackets, packetID: packet.header.packetID, place: packet.place)
  }

  @Test("Any head comes back from a datagram and, with one packet, from a frame", arguments: 1...50)
  func roundTrip(seed: UInt64) throws {
    var random = RandomSource(seed: seed)
    for _ in 0..<100 {
      var head = Self.head(&random)
      var builder = Self.numbered(9)
      let payload = Self.payload(Int(random.below(40)))
      let (first, second) = (
        builder.append(head, session: 1, copying: payload),
        builder.append(head, session: 1, copying: payload)
      )
      #expect(first && second)
      let datagram = builder.seal().bytes
      let packets = steps(datagram).compactMap(\.packet)
      #expect(packets.count == 3, "seed \(seed)")
      for packet in packets.dropFirst() {
        #expect(Self.head(of: packet) == head, "seed \(seed)")
        #expect(Array(datagram[packet.payload]) == payload, "seed \(seed)")
      }
      (head.numPackets, head.packetID) = (1, 0)
      let frame = head.frame(payload)
      let read = try FrameHead(frame.span)
      #expect(FrameHead.size(frame.span) == frame.count - payload.count)
      #expect(read.rest == payload.count && read.place == head.place, "seed \(seed)")
      #expect(read.messageID == head.messageID && read.header.kind == head.kind.rawValue)
    }
  }
}
