import MsgBox
import Testing

@Suite struct PacketParserTests {
  static let id: [UInt8] = [0x00, 0x5e, 0x5e, 0x5e, 0x5e, 0x5e, 0x5e, 0x5e]
  static let ending: [UInt8] = [0, 1, 0, 0, 0, 0]

  /// A packet from its first two bytes and what follows the header.
  static func packet(_ flags: UInt8, _ kind: UInt8, _ rest: [UInt8] = []) -> [UInt8] {
    [0xc0 | flags, kind] + ending + rest
  }

  @Test("A lone packet runs to the end of its datagram")
  func lone() throws {
    let steps = steps(Self.packet(0x8, 0, Self.id + [1, 2, 3]))
    try #require(steps.count == 1)
    let packet = try #require(steps[0].packet)
    #expect(packet.kind == .oneWay)
    #expect(packet.session == serverSession)
    #expect(packet.messageID == nil)
    #expect(packet.payload == 16..<19)
  }

  @Test("Packets with lengths follow each other; the last may have one too", arguments: [0, 4])
  func packing(lastLength: Int) throws {
    let last = lastLength == 0 ? Self.packet(0, 3) : Self.packet(4, 2, [0, 1, 9])
    let datagram =
      Self.packet(0xc, 0, Self.id + [0, 2, 7, 8]) + Self.packet(6, 1, [0, 5, 0, 0, 0, 1, 6]) + last
    let packets = steps(datagram).compactMap(\.packet)
    try #require(packets.count == 3)
    #expect(packets.map(\.kind) == [.oneWay, .request, lastLength == 0 ? .heartbeat : .reply])
    #expect(packets.map(\.session) == [serverSession, nil, nil])
    #expect(packets.map(\.messageID) == [nil, 1, nil])
    #expect(packets[0].payload == 18..<20)
    #expect(packets[1].payload == 34..<35)
  }

  @Test(
    "The short way gives what the general one gives, or nothing",
    arguments: 1...20 as ClosedRange<UInt64>)
  func shortWay(seed: UInt64) {
    var dice = SeededRandom(seed: seed)
    var taken = 0
    for _ in 0..<2000 {
      let datagram = Self.randomPackets(&dice)
      var (short, general) = (PacketParser(), PacketParser())
      var isFirst = true
      while true {
        let plain = isFirst ? nil : short.nextOneWay(datagram.span)
        let numbered = isFirst || plain != nil ? nil : short.nextNumbered(datagram.span)
        let isOther = plain == nil && numbered == nil
        let packet = isOther ? short.nextMessage(datagram.span, isFirst: isFirst) : nil
        isFirst = false
        let step = general.next(datagram.span)
        if let plain {
          taken += 1
          guard step.packet?.payload == plain, step.packet?.kind == .oneWay,
            step.packet?.header.numPackets == 1
          else {
            Issue.record("\(plain) instead of \(step) in \(datagram)")
            return
          }
        } else if let numbered {
          taken += 1
          guard let packet = step.packet, packet.payload == numbered.payload,
            packet.kind == (numbered.isRequest ? .request : .reply),
            packet.header.replyID == numbered.replyID, packet.messageID == numbered.messageID,
            packet.header.numPackets == 1
          else {
            Issue.record("\(numbered) instead of \(step) in \(datagram)")
            return
          }
        } else if let packet {
          taken += 1
          guard step == .packet(packet), packet.header.numPackets == 1 else {
            Issue.record("\(packet) instead of \(step) in \(datagram)")
            return
          }
        } else {
          guard short.next(datagram.span) == step else {
            Issue.record("something was consumed in \(datagram)")
            return
          }
        }
        guard step.packet != nil else { break }
      }
    }
    #expect(taken > 2000)
  }

  /// A few packets of messages; some of them are of an odd shape, cut off or changed.
  private static func randomPackets(_ dice: inout SeededRandom) -> [UInt8] {
    var datagram: [UInt8] = []
    for index in 0...dice.below(4) {
      let kind = [0, 1, 2, 15, 3, 9][dice.below(dice.chance(900) ? 4 : 6)]
      let needsID = kind == 1 || kind == 2 || kind == 15
      let hasID = needsID != dice.chance(50)
      let options: UInt8 = dice.chance(30) ? 1 : 0
      let flags = (index == 0 && !dice.chance(50) ? 8 : 0) | 4 | (hasID ? 2 : 0) | options
      let body =
        (hasID ? [0, 0, 0, 9] : []) + (kind == 15 ? [1, 0, 0, 0, 2] : [])
        + dice.bytes(dice.below(10))
      datagram += packet(
        flags, UInt8(kind), (flags & 8 != 0 ? id : []) + [0, UInt8(body.count)] + body)
    }
    if dice.chance(200) { datagram[dice.below(datagram.count)] = UInt8(dice.below(256)) }
    if dice.chance(200) { datagram.removeLast(dice.below(datagram.count)) }
    return datagram
  }

  @Test("An empty datagram is short, and nothing follows it")
  func empty() {
    #expect(steps([]) == [.drop(.short)])
  }

  @Test("Only the first packet may name the session")
  func sessionLater() {
    let datagram = Self.packet(0xc, 0, Self.id + [0, 0]) + Self.packet(0x8, 3, Self.id)
    let steps = steps(datagram)
    #expect(steps.count == 2)
    #expect(steps[0].packet?.kind == .oneWay)
    #expect(steps[1] == .drop(.malformed))
  }

  @Test(
    "Hello, accept and path packets are alone, and without a length",
    arguments: PacketKind.allCases.filter(\.isSolitary))
  func solitary(kind: PacketKind) {
    let body = [UInt8](repeating: 1, count: 32)
    let first = Self.packet(0x8, kind.rawValue, Self.id + body)
    #expect(steps(first).map { $0.packet?.kind } == [kind])
    let later = Self.packet(0xc, 0, Self.id + [0, 0]) + Self.packet(0, kind.rawValue, body)
    #expect(steps(later).last == .drop(.malformed))
    #expect(steps(later).count == 2)
    let withLength = Self.packet(0xc, kind.rawValue, Self.id + [0, 32] + body)
    #expect(steps(withLength) == [.drop(.malformed)])
  }

  @Test("The kinds that share datagrams, and no others")
  func sociable() {
    let sociable = PacketKind.allCases.filter { !$0.isSolitary }
    #expect(
      sociable == [
        .oneWay, .request, .reply, .heartbeat, .close, .ack, .datagramNumber, .reliable,
      ])
  }

  static let unknownKinds = (UInt8.min...UInt8.max).filter { PacketKind(rawValue: $0) == nil }

  @Test("An unknown kind is passed over if it has a length, else it drops the rest")
  func unknownKinds() {
    #expect(Self.unknownKinds.count == 256 - PacketKind.allCases.count)
    for kind in Self.unknownKinds {
      let heartbeat = Self.packet(0, 3)
      let first = Self.packet(0xc, kind, Self.id + [0, 3, 1, 2, 3]) + heartbeat
      let steps1 = steps(first)
      #expect(steps1.first == .skip(.kind, session: serverSession))
      #expect(steps1.last?.packet?.kind == .heartbeat)
      let later = Self.packet(0xc, 0, Self.id + [0, 0]) + Self.packet(4, kind, [0, 0]) + heartbeat
      let steps2 = steps(later)
      #expect(steps2.count == 3)
      #expect(steps2[1] == .skip(.kind, session: nil))
      #expect(steps(Self.packet(0x8, kind, Self.id + heartbeat)) == [.drop(.kind)])
    }
  }

  @Test("What is malformed drops the rest, not what came before it")
  func before() {
    let good = Self.packet(0xc, 0, Self.id + [0, 1, 5])
    for (rest, reason) in [
      ([0x00], DropReason.short), ([0xc0], .short), ([0x80, 0, 0, 1, 0, 0, 0, 0], .notMsgBox),
      ([0xd0, 0, 0, 1, 0, 0, 0, 0], .version), ([0xc0, 0, 0, 0, 0, 0, 0, 0], .malformed),
      ([0xc4, 0, 0, 1, 0, 0, 0, 0, 0, 1], .short),
    ] as [([UInt8], DropReason)] {
      let steps = steps(good + rest + Self.packet(0, 3).prefix(0))
      #expect(steps.count == 2)
      #expect(steps.first?.packet?.payload == 18..<19)
      // One byte of a header tells nothing but that it is too short.
      #expect(steps.last == .drop(rest.count == 1 ? .short : reason))
    }
  }

  @Test("A length must lie within the datagram")
  func lengths() {
    for length in [0, 1, 2, 3, 4, 0xffff] {
      let field = [UInt8(length >> 8), UInt8(length & 0xff)]
      let steps = steps(Self.packet(0xc, 0, Self.id + field + [1, 2, 3]))
      if length > 3 {
        #expect(steps == [.drop(.short)])
      } else {
        #expect(steps.first?.packet?.payload == 18..<18 + length)
      }
      // What is left over is too short for a header, or does not begin like one.
      if length < 3 { #expect(steps.last == .drop(length == 2 ? .short : .notMsgBox)) }
    }
  }

  @Test("Every truncation of every datagram is dropped or shorter, never more")
  func truncations() {
    for datagram in sampleDatagrams {
      let whole = steps(datagram)
      #expect(whole.allSatisfy { $0.packet != nil })
      for count in 0..<datagram.count {
        let cut = steps(Array(datagram.prefix(count)))
        #expect(isSound(cut, of: Array(datagram.prefix(count))))
        #expect(cut.count <= whole.count)
        // All but the last step are packets that came whole.
        #expect(cut.dropLast().elementsEqual(whole.prefix(max(cut.count - 1, 0))))
      }
    }
  }

  @Test("A datagram cut inside a header or a field is short")
  func shortFields() {
    let request = Self.packet(0xf, 1, Self.id + [0, 6, 0, 0, 0, 1, 0, 0])
    #expect(steps(request).first?.packet?.messageID == 1)
    for count in 0..<request.count {
      #expect(steps(Array(request.prefix(count))) == [.drop(.short)])
    }
  }

  @Test("The blocks at the front of a body must lie within it")
  func blocks() {
    let tooShortForID = Self.packet(0xe, 1, Self.id + [0, 3, 0, 0, 0, 9])
    #expect(steps(tooShortForID) == [.drop(.short)])
    let tooShortForOptions = Self.packet(0xd, 0, Self.id + [0, 1, 0, 9])
    #expect(steps(tooShortForOptions) == [.drop(.short)])
    let noPayload = Self.packet(0xa, 2, Self.id + [0, 0, 0, 9])
    #expect(steps(noPayload).first?.packet?.payload == 20..<20)
  }

  @Test("No flipped bit of any datagram leads the parser astray")
  func flippedBits() {
    for datagram in sampleDatagrams {
      for bit in 0..<datagram.count * 8 {
        var flipped = datagram
        flipped[bit / 8] ^= 0x80 >> UInt8(bit % 8)
        #expect(isSound(steps(flipped), of: flipped), "bit \(bit) of \(datagram)")
      }
    }
  }

  @Test("Random bytes are dropped or parsed within their bounds")
  func randomBytes() {
    var random = RandomSource(seed: 1)
    var datagram: [UInt8] = []
    var packets = 0
    var unsound = 0
    for round in 0..<200_000 {
      datagram.removeAll(keepingCapacity: true)
      let count = random.below(round.isMultiple(of: 100) ? 1201 : 64)
      while datagram.count < count {
        datagram.append(UInt8(truncatingIfNeeded: random.word()))
      }
      // Two of three begin like ours, or hardly any would get past the first bits.
      if count > 4, !round.isMultiple(of: 3) {
        datagram[0] = 0xc0 | datagram[0] & 0x0f
        datagram[1] &= 0x0f
        datagram.replaceSubrange(2..<5, with: [0, 1, 0])
        if count > 5 { datagram[5] = 0 }
      }
      let steps = steps(datagram)
      if !isSound(steps, of: datagram) { unsound += 1 }
      packets += steps.count { $0.packet != nil }
    }
    #expect(unsound == 0)
    #expect(packets > 10_000)
  }
}
