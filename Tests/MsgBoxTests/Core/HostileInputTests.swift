import MsgBox
import Testing

@Suite("Hostile input")
struct HostileInputTests {
  /// What must be dropped whole, by name.
  private static func badPackets(_ session: UInt64) -> [(String, [UInt8])] {
    let heartbeat = RawPacket.heartbeat(session)
    var bad: [(String, [UInt8])] = (0..<8).map { ("\($0) bytes", Array(heartbeat[..<$0])) }
    bad += (8..<16).map { ("half a session, \($0) bytes", Array(heartbeat[..<$0])) }
    for kind in 5...255 where kind != 8 && kind != 9 {
      var packet = RawPacket.oneWay(session, "x")
      packet[1] = UInt8(kind)
      bad.append(("kind \(kind)", packet))
    }
    for version in UInt8(1)...3 {
      var packet = RawPacket.oneWay(session, "x")
      packet[0] |= version << 4
      bad.append(("version \(version)", packet))
    }
    for magic in UInt8(0)...2 {
      var packet = RawPacket.oneWay(session, "x")
      packet[0] = magic << 6 | packet[0] & 0x3f
      bad.append(("first bits \(magic)", packet))
    }
    let text = Array("x".utf8)
    let length = RawPacket.length
    let fragment = RawPacket.fragment
    bad += [
      ("no packets", RawPacket.header(.oneWay, session: session, packets: 0) + text),
      ("packet 1 of 1", RawPacket.header(.oneWay, session: session, packet: 1) + text),
      ("packet 9 of 3", RawPacket.header(.oneWay, session: session, packets: 3, packet: 9) + text),
      (
        "a length beyond the end",
        RawPacket.header(.oneWay, session: session, flags: length) + [0, 2] + text
      ),
      (
        "a length of 65 535",
        RawPacket.header(.oneWay, session: session, flags: length) + [255, 255]
      ),
      ("half a length", RawPacket.header(.oneWay, session: session, flags: length) + [0]),
      (
        "half a fragment block",
        RawPacket.header(.oneWay, session: session, flags: fragment) + [0, 0, 0]
      ),
      ("a request without a message id", RawPacket.header(.request, session: session, replyID: 1)),
      (
        "a request with the reply id 0",
        RawPacket.request(session, replyID: 0, messageID: 1, text)
      ),
      (
        "a reply to nothing",
        RawPacket.reply(session, replyID: 5, messageID: 1, text)
      ),
      ("a short hello", Array(RawPacket.hello(own: 5).dropLast())),
      ("a hello with the id 0", RawPacket.hello(own: 0)),
      ("an accept to nobody", RawPacket.accept(session, own: 5)),
      ("a response to no challenge", RawPacket.header(.response, session: session) + text),
      ("no session", RawPacket.oneWay(nil, "x")),
      ("the session 0", RawPacket.oneWay(0, "x")),
      (
        "a STUN binding request",
        [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42] + [UInt8](repeating: 1, count: 12)
      ),
    ]
    return bad
  }

  @Test("Each bad datagram is dropped and counted, and the next good message is served")
  func badThenGood() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    for (index, (name, packet)) in Self.badPackets(session).enumerated() {
      let drops = raw.server.counters.allDrops
      let events = raw.server.log.total
      raw.send(packet)
      #expect(raw.server.counters.allDrops == drops + 1, "\(name)")
      #expect(raw.server.log.total == events, "\(name)")
      raw.send(RawPacket.oneWay(session, "good \(index)"))
      #expect(raw.server.log.last(.message)?.text == "good \(index)", "\(name)")
      #expect(raw.server.counters.allDrops == drops + 1, "\(name)")
      raw.simulation.run(for: .milliseconds(20))
    }
    #expect(raw.server.census.connections == 1)
    #expect(raw.server.log.count(.connectionReady) == 1)
    finishAll(raw.simulation)
  }

  @Test("Drops are counted under their reasons")
  func reasons() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    var kind = RawPacket.oneWay(session, "x")
    kind[1] = 200
    var version = RawPacket.oneWay(session, "x")
    version[0] |= 0x10
    let cases: [(DropReason, [UInt8])] = [
      (.short, [0xc8, 0, 0]),
      (.notMsgBox, [UInt8](repeating: 0, count: 20)),
      (.version, version),
      (.kind, kind),
      (.noSession, RawPacket.oneWay(nil, "x")),
      (.unknownSession, RawPacket.oneWay(session &+ 1, "x")),
      (.staleClose, RawPacket.close(session &+ 1)),
      (.staleAccept, RawPacket.accept(session, own: 1)),
      (.staleReply, RawPacket.reply(session, replyID: 1, messageID: 1, [])),
      (.staleResponse, RawPacket.header(.response, session: session) + RawPacket.u64(1)),
    ]
    for (reason, packet) in cases {
      let before = raw.server.dropped(reason)
      raw.send(packet)
      #expect(raw.server.dropped(reason) == before + 1, "\(reason)")
    }
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(9))
    other.send(RawPacket.oneWay(session, "x"), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.dropped(.wrongPath) == 1)
    #expect(raw.server.log.count(.message) == 0)
    finishAll(raw.simulation)
  }

  @Test("A malformed packet drops the rest of its datagram, not what came before it")
  func restOfDatagram() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    func packed(_ text: String, session: UInt64? = nil) -> [UInt8] {
      RawPacket.header(.oneWay, session: session, flags: RawPacket.length)
        + RawPacket.u16(UInt16(text.utf8.count)) + Array(text.utf8)
    }
    var unknown = packed("skipped")
    unknown[1] = 99
    raw.send(packed("one", session: session) + packed("two") + unknown + packed("three"))
    #expect(raw.server.log.all(.message).map(\.text) == ["one", "two", "three"])
    #expect(raw.server.dropped(.kind) == 1)
    var broken = packed("broken")
    broken[8] = 255
    raw.send(packed("four", session: session) + broken + packed("five"))
    #expect(raw.server.log.all(.message).map(\.text) == ["one", "two", "three", "four"])
    #expect(raw.server.counters.allDrops == 2)
    raw.send(packed("six", session: session) + RawPacket.oneWay(nil, "the rest"))
    #expect(raw.server.log.last(.message)?.text == "the rest")
    finishAll(raw.simulation)
  }

  @Test("One datagram with many hellos or challenges causes at most one answer")
  func oneAnswer() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    raw.stranger.forget()
    raw.send(RawPacket.hello(own: 90) + RawPacket.hello(own: 91))
    #expect(raw.stranger.received.count <= 1)
    raw.stranger.forget()
    let challenge = RawPacket.header(.challenge, session: session) + RawPacket.u64(9)
    raw.send(challenge + challenge)
    #expect(raw.stranger.received.count <= 1)
    finishAll(raw.simulation)
  }

  @Test("No answer to a stranger is larger than what caused it")
  func amplification() throws {
    let raw = try RawServer()
    var dice = SeededRandom(seed: 6)
    for _ in 0..<3000 {
      let packet = Fuzz.datagram(sessions: [1, 2, 3], &dice)
      raw.stranger.forget()
      raw.stranger.send(packet, to: raw.address)
      raw.simulation.run(for: .milliseconds(25))
      let answered = raw.stranger.received.reduce(0) { $0 + $1.bytes.count }
      #expect(answered <= packet.count, "\(packet)")
      #expect(raw.stranger.received.count <= 1)
    }
    finishAll(raw.simulation)
  }

  @Test("A UDP message above the largest that was announced is dropped and counted")
  func aboveTheLargest() throws {
    var options = ConnectionOptions()
    options.maxMessageBytes = 100
    let raw = try RawServer(options: options)
    let (session, _) = try raw.join()
    let fits = [UInt8](repeating: 1, count: 100)
    raw.send(RawPacket.oneWay(session, fits + [1]))
    raw.send(RawPacket.request(session, replyID: 1, messageID: 0, fits + [1]))
    #expect(raw.server.counters.dropped(.tooBig) == 2)
    #expect(raw.server.log.count(.message) + raw.server.log.count(.request) == 0)
    raw.send(RawPacket.oneWay(session, fits))
    #expect(raw.server.log.last(.message)?.bytes == fits)
  }

  /// The number of datagrams of the next test, a million unless MSGBOX_FUZZ says otherwise.
  private static let million = environmentNumber("MSGBOX_FUZZ") ?? 1_000_000

  @Test(
    "A million random datagrams trap nothing, are each counted, and stop no message",
    arguments: 0..<4)
  func random(part: Int) throws {
    let fuzz = try Fuzz(seed: UInt64(part) + 1)
    fuzz.run(Self.million / 4)
    fuzz.finish()
  }

  @Test("Random frames on streams trap nothing, and the listener goes on", arguments: 0..<2)
  func randomStreams(part: Int) throws {
    let simulation = Simulation(seed: UInt64(part) + 70)
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let host = simulation.addNode("host")
    var dice = SeededRandom(seed: UInt64(part) + 70)
    for _ in 0..<1000 {
      let stream = try #require(RawStream(from: host, to: server.address(of: listener)))
      if dice.chance(900) { stream.send(RawPacket.frame(RawPacket.hello(own: 7))) }
      var bytes: [UInt8] = []
      for _ in 0..<dice.within(1...8) { bytes += Fuzz.frame(&dice) }
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = rest.prefix(dice.within(1...60))
        stream.send(Array(piece))
        rest = rest.dropFirst(piece.count)
      }
      simulation.run(for: .milliseconds(30))
      stream.close()
    }
    let good = try #require(RawStream(from: host, to: server.address(of: listener)))
    #expect(good.shakeHands())
    good.send(RawPacket.frame(RawPacket.oneWay(nil, "good")))
    simulation.run(for: .milliseconds(50))
    #expect(server.log.last(.message)?.text == "good")
    good.close()
    finishAll(simulation)
  }

  @Test(
    "Random datagrams from its server trap no client, and give it one outcome", arguments: 0..<2)
  func randomServer(part: Int) throws {
    let simulation = Simulation(seed: UInt64(part) + 80)
    let stranger = simulation.addStranger(at: RawServer.strangerAddress(3))
    let client = simulation.addNode("client")
    var dice = SeededRandom(seed: UInt64(part) + 80)
    for _ in 0..<200 {
      stranger.forget()
      let handle = client.connect(.udp, to: stranger.address, options: quickOptions())
      _ = client.get("?", from: handle, context: UInt(handle.rawValue))
      simulation.run(for: .milliseconds(20))
      let hello = try #require(stranger.received.first { $0.kind == .hello })
      let own = try #require(hello.ownID)
      if dice.chance(800) { stranger.send(RawPacket.accept(own, own: 9), to: hello.from) }
      for _ in 0..<40 {
        stranger.send(Fuzz.datagram(sessions: [own], &dice), to: hello.from)
        if dice.chance(100) { simulation.run(for: .milliseconds(5)) }
      }
      simulation.run(for: .milliseconds(30))
      if client.guarantees.isAlive(handle) { #expect(client.disconnect(handle) == .ok) }
      simulation.run(for: .milliseconds(10))
    }
    finishAll(simulation)
    #expect(client.log.count(.connectionSetup) > 100)
  }
}
