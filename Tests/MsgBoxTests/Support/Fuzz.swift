import Foundation
import MsgBox
import Testing

/// A number from the environment of the test run.
func environmentNumber(_ name: String) -> Int? {
  ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
}

/// Random datagrams for an endpoint that has a listener and a few sessions, without a network
/// between.
final class Fuzz {
  private let raw: RawServer
  private var sessions: [UInt64] = []
  private var dice: SeededRandom
  private let socket: SocketID
  private let source = RawServer.strangerAddress(1)
  private var now: Instant
  private var nextID: UInt64 = 1_000_000
  /// The session that the last accept told.
  private var accepted: UInt64?

  init(seed: UInt64) throws {
    raw = try RawServer(seed: seed)
    dice = SeededRandom(seed: seed)
    let index = try #require(raw.server.sockets.firstIndex { $0 != nil })
    socket = SocketID(rawValue: UInt32(index))
    now = raw.server.now
    // The endpoint is driven past its node, which sees none of the events.
    raw.server.guarantees = Guarantees("server") { _ in }
  }

  /// Feeds `count` datagrams; every one must leave its mark on a counter, or cause an event or an
  /// answer.
  func run(_ count: Int) {
    for index in 0..<count {
      if index % 200 == 0, !renewSessions() {
        return fail("no handshake between the random datagrams", index, [])
      }
      let datagram = Self.datagram(sessions: sessions, &dice)
      let before = marks()
      let received = raw.server.endpoint.counters.datagramsReceived
      let outputs = feed(datagram)
      if raw.server.endpoint.counters.datagramsReceived != received + 1 {
        return fail("a datagram is not counted", index, datagram)
      }
      if marks() == before && outputs == 0 {
        return fail("a datagram left no mark", index, datagram)
      }
    }
  }

  /// Joins until there are three sessions: closes end some of them.
  private func renewSessions() -> Bool {
    now = now + .milliseconds(100)
    raw.server.endpoint.handleTimeout(at: now, drainedAt: now)
    _ = drain()
    guard raw.server.endpoint.census.connections < 3 else { return true }
    nextID += 1
    accepted = nil
    _ = feed(RawPacket.hello(own: nextID))
    guard let accepted else { return false }
    sessions = sessions.suffix(4) + [accepted]
    return feed(RawPacket.heartbeat(accepted)) > 0
  }

  private func feed(_ datagram: [UInt8]) -> UInt64 {
    now = now + Interval(nanoseconds: 1000)
    raw.server.endpoint.receive(
      datagram.span, on: socket, from: source, to: raw.address, at: now)
    return drain()
  }

  /// Serves a good message after all of it.
  func finish() {
    let simulation = raw.simulation
    let other = simulation.addStranger(at: RawServer.strangerAddress(5000))
    simulation.run(for: .seconds(31))
    guard let session = other.shakeHands(with: raw.address, own: 4, in: simulation) else {
      Issue.record("no handshake after the random datagrams")
      return
    }
    let got = raw.server.log.count(.message)
    other.send(RawPacket.oneWay(session, "good"), to: raw.address)
    simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.count(.message) == got + 1)
    #expect(raw.server.log.last(.message)?.text == "good")
  }

  private func marks() -> UInt64 {
    let counters = raw.server.endpoint.counters
    let held = UInt64(raw.server.endpoint.census.incompleteBytes)
    return counters.allDrops &+ counters.messagesReceived &+ counters.heartbeatsReceived &+ held
  }

  private func drain() -> UInt64 {
    var outputs: UInt64 = 0
    while let event = raw.server.endpoint.pollEvent() {
      outputs += 1
      if event.payload.place == .input, event.payload.range.upperBound > 1400 {
        Issue.record("a payload outside of the input")
      }
    }
    while raw.server.endpoint.pollAction() != nil { outputs += 1 }
    while let bytes = raw.server.takeDatagram() {
      outputs += 1
      let sent = Datagram(from: raw.address, to: source, bytes: bytes)
      if sent.kind == .accept { accepted = sent.ownID }
    }
    return outputs
  }

  private func fail(_ text: String, _ index: Int, _ datagram: [UInt8]) {
    Issue.record("\(text): number \(index), \(datagram)")
  }

  // MARK: What is sent

  /// Random bytes, a valid header with random rest, or a valid packet with some bytes changed.
  static func datagram(sessions: [UInt64], _ dice: inout SeededRandom) -> [UInt8] {
    switch dice.below(4) {
    case 0: return dice.bytes(dice.below(dice.chance(50) ? 1300 : 64))
    case 1: return randomRest(sessions, &dice)
    default: return mutated(sessions, &dice)
    }
  }

  /// A frame of a stream, good or bad.
  static func frame(_ dice: inout SeededRandom) -> [UInt8] {
    if dice.chance(50) { return dice.bytes(dice.below(50)) }
    let kind = RawPacket.Kind(rawValue: UInt8(dice.below(10))) ?? .oneWay
    let isRequest = kind == .request || kind == .reply
    let flags = UInt16(truncatingIfNeeded: dice.chance(200) ? dice.word() : 0) & 0x0700
    var packet =
      RawPacket.header(
        kind, session: dice.chance(30) ? 1 : nil,
        flags: flags | (isRequest ? RawPacket.fragment : 0),
        packets: dice.chance(950) ? 1 : UInt16(dice.below(3)),
        replyID: UInt16(dice.below(isRequest ? 4 : 2)))
      + (isRequest ? RawPacket.u32(UInt32(dice.below(3))) : []) + dice.bytes(dice.below(60))
    if dice.chance(100) { packet[dice.below(packet.count)] = UInt8(dice.below(256)) }
    var frame = RawPacket.frame(packet)
    if dice.chance(50) { frame[dice.below(4)] = UInt8(dice.below(256)) }
    return frame
  }

  private static func randomRest(_ sessions: [UInt64], _ dice: inout SeededRandom) -> [UInt8] {
    let flags = UInt16(truncatingIfNeeded: dice.word()) & 0x0700
    let kind = RawPacket.Kind(rawValue: UInt8(dice.below(10))) ?? .oneWay
    let session = dice.chance(900) ? dice.element(of: sessions) : nil
    return RawPacket.header(
      kind, session: session, flags: flags, packets: UInt16(dice.below(3)),
      packet: UInt16(dice.below(3)), replyID: UInt16(dice.below(3))) + dice.bytes(dice.below(40))
  }

  private static func mutated(_ sessions: [UInt64], _ dice: inout SeededRandom) -> [UInt8] {
    let session = dice.element(of: sessions) ?? 1
    var bytes = valid(session, &dice)
    for _ in 0..<dice.below(4) {
      let index = dice.below(bytes.count)
      switch dice.below(4) {
      case 0: bytes[index] ^= 1 << UInt8(dice.below(8))
      case 1: bytes[index] = UInt8(truncatingIfNeeded: dice.word())
      case 2: bytes.removeLast(min(bytes.count - 1, dice.below(8)))
      default: bytes += dice.bytes(dice.below(20))
      }
    }
    return bytes
  }

  private static func valid(_ session: UInt64, _ dice: inout SeededRandom) -> [UInt8] {
    let payload = dice.bytes(dice.below(30))
    switch dice.below(10) {
    case 0: return RawPacket.hello(own: dice.word())
    case 1: return RawPacket.accept(session, own: dice.word())
    case 2: return RawPacket.heartbeat(session)
    case 3 where dice.chance(10): return RawPacket.close(session, reason: UInt16(dice.below(9)))
    case 4: return RawPacket.request(session, replyID: 1, messageID: UInt32(dice.below(9)), payload)
    case 5: return RawPacket.reply(session, replyID: 1, messageID: UInt32(dice.below(9)), payload)
    case 6: return RawPacket.header(.challenge, session: session) + RawPacket.u64(dice.word())
    case 7: return RawPacket.header(.response, session: session) + RawPacket.u64(dice.word())
    case 8:
      return RawPacket.header(.oneWay, session: session, flags: RawPacket.length)
        + RawPacket.u16(UInt16(payload.count)) + payload + RawPacket.oneWay(nil, payload)
    default: return RawPacket.oneWay(session, payload)
    }
  }
}
