import MsgBox
import Testing

/// No answer is larger than what caused it, whatever comes from wherever.
@Suite("Amplification")
struct AmplificationTests {
  private static let body = [UInt8](repeating: 7, count: 8)

  /// The smallest packet of each kind that is no malformed one, with a session and without.
  private static func packets(_ session: UInt64?) -> [[UInt8]] {
    let header = { RawPacket.header($0, session: session) }
    return [
      header(.oneWay), RawPacket.request(session, replyID: 1, messageID: 1, []),
      RawPacket.reply(session, replyID: 1, messageID: 1, []), header(.heartbeat), header(.close),
      RawPacket.close(session, reason: 1), header(.hello) + body + body + body + body,
      header(.accept) + body + body, header(.cookie) + body + body, header(.challenge) + body,
      header(.response) + body, kind(11, session) + body, kind(12, session), kind(13, session),
      kind(14, session) + [0, 0, 0, 1], kind(99, session),
      RawPacket.header(.oneWay, session: session, flags: RawPacket.length) + [0, 0]
        + RawPacket.close(nil),
      RawPacket.header(.oneWay, session: session, flags: RawPacket.fragment, packets: 9)
        + RawPacket.u32(1) + [1],
    ]
  }

  private static func kind(_ number: UInt8, _ session: UInt64?) -> [UInt8] {
    var packet = RawPacket.header(.oneWay, session: session)
    packet[1] = number
    return packet
  }

  /// Sends each of the packets, and everything that they begin with, and holds that not more bytes
  /// come back at once, nor later. A peer without a session that may have been let in before gets up
  /// to `beats` heartbeats meanwhile, which are no answers.
  private func check(
    _ packets: [[UInt8]], of name: String, from stranger: Stranger, to server: RawServer,
    beats: Int = 0
  ) {
    for packet in packets {
      for cut in [packet.count, packet.count - 1, packet.count / 2] where cut > 0 {
        stranger.forget()
        stranger.send(Array(packet[..<cut]), to: server.address)
        server.simulation.run(for: .milliseconds(1500))
        let all = stranger.received.map(\.bytes)
        let answers = all.filter { $0 != RawPacket.heartbeat(nil) }
        let size = answers.reduce(0) { $0 + $1.count }
        #expect(size <= cut, "\(name): \(answers) to \(packet[..<cut])")
        #expect(all.count - answers.count <= beats, "\(name): heartbeats to \(packet[..<cut])")
      }
    }
  }

  @Test("Who has no session gets no more than he sends", arguments: [false, true])
  func strangers(implicit: Bool) throws {
    var options = ConnectionOptions()
    options.implicitPeers = implicit
    let raw = try RawServer(options: options)
    check(Self.packets(0x0102_0304), of: "unknown session", from: raw.stranger, to: raw)
    let beats = implicit ? 1 : 0
    check(Self.packets(0), of: "session 0", from: raw.stranger, to: raw, beats: beats)
    check(Self.packets(nil), of: "no session", from: raw.stranger, to: raw, beats: beats)
    finishAll(raw.simulation)
  }

  @Test("A peer without a session that may be forged gets three heartbeats at most")
  func implicitBeats() throws {
    var options = ConnectionOptions()
    options.implicitPeers = true
    options.heartbeat = .seconds(1)
    options.lost = .seconds(60)
    let raw = try RawServer(options: options)
    var beaten = 0
    for (number, packet) in Self.packets(nil).enumerated() {
      let forged = raw.simulation.addStranger(at: RawServer.strangerAddress(10 + number))
      forged.send(packet, to: raw.address)
      raw.simulation.run(for: .seconds(50))
      let beats = forged.received.count { $0.bytes == RawPacket.heartbeat(nil) }
      #expect(beats <= 3, "\(packet)")
      if beats > 0 { beaten += 1 }
    }
    #expect(beaten >= 3, "a message, a request and a heartbeat are let in")
    raw.send(RawPacket.heartbeat(nil))
    raw.simulation.run(for: .seconds(50))
    #expect(!raw.answers.isEmpty && raw.answers.count <= 3)
    #expect(raw.answers.allSatisfy { $0 == .heartbeat })
    raw.stranger.forget()
    raw.send(RawPacket.heartbeat(nil))
    raw.simulation.run(for: .seconds(2))
    #expect(raw.answers.contains(.heartbeat), "who is heard again gets them again")
    finishAll(raw.simulation)
  }

  @Test("Late packets of a session that has ended are answered with no more")
  func tombstones() throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    #expect(raw.server.disconnect(handle) == .ok)
    raw.simulation.run(for: .seconds(1))
    #expect(raw.server.census.tombstones == 1)
    check(Self.packets(session), of: "tombstone", from: raw.stranger, to: raw)
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    check(Self.packets(session), of: "tombstone of another", from: other, to: raw)
    finishAll(raw.simulation)
  }

  @Test("A hello that waits gives no more to those who know its session from elsewhere")
  func pending() throws {
    let raw = try RawServer()
    raw.send(RawPacket.hello(own: 5))
    let session = try #require(raw.stranger.received.first?.ownID)
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    check(Array(Self.packets(session).prefix(8)), of: "pending hello", from: other, to: raw)
    finishAll(raw.simulation)
  }

  @Test("A listener without room answers a hello with no more", arguments: [false, true])
  func full(prefixIsFull: Bool) throws {
    var options = ConnectionOptions()
    if prefixIsFull { options.maxPerPrefix = 1 } else { options.maxConnections = 1 }
    let raw = try RawServer(options: options)
    _ = try raw.join()
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    check([RawPacket.hello(own: 6)], of: "full", from: other, to: raw)
    #expect(raw.server.dropped(prefixIsFull ? .prefixFull : .connectionsFull) == 1)
    finishAll(raw.simulation)
  }

  @Test("A cookie is no larger than its hello")
  func cookies() throws {
    var options = ConnectionOptions()
    options.maxPerPrefix = 4
    let raw = try RawServer(options: options)
    for own in UInt64(1)...3 { raw.send(RawPacket.hello(own: own)) }
    check([RawPacket.hello(own: 4)], of: "cookie", from: raw.stranger, to: raw)
    raw.stranger.forget()
    raw.send(RawPacket.hello(own: 4))
    #expect(raw.answers == [.cookie])
    finishAll(raw.simulation)
  }

  @Test("An unproven address of a session gets at most three times what it sends")
  func roaming() throws {
    let raw = try RawServer()
    let (session, handle) = try raw.join()
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    for count in 1...20 {
      // So that a change of address has an end.
      raw.simulation.run(for: .seconds(4))
      raw.send(RawPacket.heartbeat(session))
      raw.send(RawPacket.oneWay(session, "still here"))
      other.forget()
      var sent = 0
      for packet in Self.packets(session).prefix(count) {
        other.send(packet, to: raw.address)
        sent += packet.count
      }
      // Whatever the server has for its peer goes to where that was.
      #expect(raw.server.send([UInt8](repeating: 1, count: 1000), to: handle) == .ok)
      raw.simulation.run(for: .seconds(4))
      let answers = other.received.reduce(0) { $0 + $1.bytes.count }
      #expect(answers > 0 && answers <= 3 * sent)
      #expect(other.received.allSatisfy { $0.kind == .challenge && $0.bytes.count == 24 })
    }
    #expect(raw.server.log.count(.connectionClosed) == 0)
    finishAll(raw.simulation)
  }
}
