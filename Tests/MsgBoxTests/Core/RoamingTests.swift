import MsgBox
import Testing

/// Sessions whose peers come to have another address.
@Suite("Roaming")
struct RoamingTests {
  // MARK: Clients that move

  /// A client that sends so often that its server hears of a move at once.
  private func busyPair(seed: UInt64 = 1, heartbeat: Interval = .milliseconds(200)) throws -> Pair {
    var options = ConnectionOptions()
    options.heartbeat = heartbeat
    return try Pair(.udp, seed: seed, serverOptions: options, clientOptions: options)
  }

  private func waitForMove(_ pair: Pair, within limit: Interval = .seconds(5)) -> Bool {
    let new = movedTo(pair)
    return pair.simulation.run(within: limit) { pair.server.peer(of: pair.down) == new }
  }

  /// The address that the client's datagrams come from.
  private func movedTo(_ pair: Pair) -> Address? {
    for case let socket? in pair.client.sockets { return socket.local }
    return nil
  }

  @Test(
    "A session goes on at another port or address, and nobody is told", arguments: [false, true])
  func moves(toOtherHost: Bool) throws {
    let pair = try busyPair()
    pair.run(for: .seconds(1))
    let old = try #require(pair.server.peer(of: pair.down))
    pair.client.rebind(pair.up, ip: toOtherHost ? IPAddress(v4: 0x0a00_0909) : nil)
    let start = pair.simulation.now
    #expect(waitForMove(pair))
    let time = pair.simulation.now.since(start)
    #expect(time >= .seconds(1) && time <= .milliseconds(1400), "the old address has a second")
    let new = try #require(pair.server.peer(of: pair.down))
    #expect(new != old && (new.ip == old.ip) != toOtherHost)
    #expect(pair.server.send("down", to: pair.down) == .ok)
    #expect(pair.client.send("up", to: pair.up) == .ok)
    #expect(pair.client.wait(for: .message)?.text == "down")
    #expect(pair.server.wait(for: .message)?.text == "up")
    #expect(pair.client.log.string() == "connectionSetup message")
    #expect(pair.server.log.string() == "listening connectionReady message")
    #expect(pair.server.census.pathChanges == 0)
    pair.run(for: .seconds(60))
    #expect(pair.server.log.count(.connectionLost) == 0)
    pair.finish()
  }

  @Test(
    "Nothing is lost that must arrive while the address changes every few seconds",
    arguments: [
      1, 2, 3,
    ])
  func everyFewSeconds(seed: UInt64) throws {
    let pair = try busyPair(seed: seed)
    pair.simulation.changeAll {
      $0.loss = 50
      $0.duplication = 20
      $0.reordering = 50
      $0.jitter = .milliseconds(10)
    }
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer(event.bytes, to: event.request) == .ok) }
    }
    pair.client.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer(event.bytes, to: event.request) == .ok) }
    }
    var sent: [String] = []
    for round in 0..<40 {
      let text = "round \(round)"
      sent.append(text)
      let reliable = SendOptions.ordered
      #expect(pair.client.send(Array(text.utf8), to: pair.up, options: reliable) == .ok)
      #expect(pair.server.send(Array(text.utf8), to: pair.down, options: reliable) == .ok)
      let (up, down) = (UInt(round), UInt(1000 + round))
      #expect(pair.client.get(text, from: pair.up, context: up, timeout: .seconds(60)) == .ok)
      #expect(pair.server.get(text, from: pair.down, context: down, timeout: .seconds(60)) == .ok)
      if round % 5 == 4 {
        let host = IPAddress(v4: 0x0a00_0900 + UInt32(round))
        pair.client.rebind(pair.up, ip: round % 10 == 4 ? host : nil)
      }
      pair.run(for: .seconds(1))
    }
    #expect(pair.client.wait(for: .reply, count: 40, within: .seconds(60)) != nil)
    #expect(pair.server.wait(for: .reply, count: 40, within: .seconds(60)) != nil)
    #expect(pair.client.wait(for: .message, count: 40, within: .seconds(60)) != nil)
    #expect(pair.server.wait(for: .message, count: 40, within: .seconds(60)) != nil)
    #expect(pair.client.log.all(.message).map(\.text) == sent)
    #expect(pair.server.log.all(.message).map(\.text) == sent)
    #expect(pair.server.log.count(.connectionReady) == 1)
    #expect(pair.server.peer(of: pair.down) == movedTo(pair))
    for node in [pair.server, pair.client] {
      node.onEvent = nil
      #expect(node.log.count(.replyMissing) == 0 && node.log.count(.connectionLost) == 0)
    }
    pair.finish()
  }

  @Test("An idle client that beats every 10 seconds moves before it is lost")
  func idle() throws {
    let pair = try busyPair(heartbeat: .seconds(10))
    for _ in 0..<5 {
      pair.client.rebind(pair.up)
      pair.run(for: .seconds(25))
      #expect(pair.server.peer(of: pair.down) == movedTo(pair))
    }
    #expect(pair.server.log.string() == "listening connectionReady")
    #expect(pair.client.log.string() == "connectionSetup")
    pair.finish()
  }

  @Test(
    "A large message goes on behind a change, at a new window if the host is another",
    arguments: [false, true])
  func largeMessage(toOtherHost: Bool) throws {
    var options = ConnectionOptions()
    options.heartbeat = .milliseconds(200)
    options.sendMarkBytes = 8_000_000
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    pair.simulation.changeAll { $0.bandwidth = 20_000_000 }
    let bytes = [UInt8](repeating: 5, count: 1_000_000)
    for _ in 0..<4 {
      #expect(pair.server.send(bytes, to: pair.down, options: .ordered) == .ok)
    }
    pair.run(for: .milliseconds(600))
    let before = try #require(pair.server.counters(of: pair.down))
    #expect(before.congestionWindow > 2 * NewReno.initialWindow && before.bytesInFlight > 0)
    pair.client.rebind(pair.up, ip: toOtherHost ? IPAddress(v4: 0x0a00_0909) : nil)
    #expect(waitForMove(pair))
    let after = try #require(pair.server.counters(of: pair.down))
    let window = after.congestionWindow
    if toOtherHost {
      #expect(window == NewReno.initialWindow)
      #expect(after.roundTrip >= .milliseconds(20) && after.roundTrip < .milliseconds(200))
    } else {
      #expect(window >= NewReno.leastWindow && after.roundTrip > .milliseconds(20))
    }
    #expect(pair.client.wait(for: .message, count: 4, within: .seconds(30)) != nil)
    pair.finish()
  }

  @Test("A session that is being closed flushes to where its peer has moved")
  func closing() throws {
    let pair = try busyPair()
    pair.client.rebind(pair.up)
    #expect(pair.server.send(Array("last".utf8), to: pair.down, options: .ordered) == .ok)
    #expect(pair.server.disconnect(pair.down) == .ok)
    #expect(pair.client.wait(for: .message, within: .seconds(5))?.text == "last")
    #expect(pair.client.wait(for: .connectionClosed, within: .seconds(5))?.status == .endPeer)
    let closed = try #require(pair.server.wait(for: .connectionClosed))
    #expect(closed.undelivered == 0)
    pair.finish()
  }

  @Test("The place in its source prefix moves along")
  func prefixes() throws {
    var options = ConnectionOptions()
    options.heartbeat = .milliseconds(200)
    options.maxPerPrefix = 1
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let other = pair.simulation.addStranger(at: Address(ip: IPAddress(v4: 0x0a00_00fe), port: 9))
    func isRefused() -> Bool {
      other.forget()
      other.send(RawPacket.hello(own: 4), to: pair.address)
      pair.run(for: .milliseconds(50))
      return other.received.map(\.kind) == [.close]
    }
    #expect(isRefused())
    pair.client.rebind(pair.up, ip: IPAddress(v4: 0x0a00_0909))
    #expect(waitForMove(pair))
    #expect(!isRefused())
    pair.finish()
  }

  @Test("Nobody moves into a source prefix that has all its places", arguments: [false, true])
  func fullPrefix(isTakenMeanwhile: Bool) throws {
    var options = ConnectionOptions()
    options.heartbeat = .milliseconds(200)
    options.maxPerPrefix = 1
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let other = pair.simulation.addStranger(at: Address(ip: IPAddress(v4: 0x0a00_09fe), port: 9))
    func take() {
      other.send(RawPacket.hello(own: 4), to: pair.address)
      pair.run(for: .milliseconds(50))
    }
    let before = pair.server.peer(of: pair.down)
    if !isTakenMeanwhile { take() }
    pair.client.rebind(pair.up, ip: IPAddress(v4: 0x0a00_0909))
    if isTakenMeanwhile {
      pair.run(for: .milliseconds(500))
      take()
    }
    #expect(other.received.map(\.kind) == [.accept])
    pair.run(for: .seconds(8))
    #expect(pair.server.counters.dropped(.prefixFull) > 0)
    #expect(pair.server.peer(of: pair.down) == before)
    pair.finish()
  }

  // MARK: Strangers with the session's id

  private struct Attacked {
    let raw: RawServer
    let session: UInt64
    let handle: Handle
    let attacker: Stranger

    init(seed: UInt64 = 1) throws {
      raw = try RawServer(seed: seed)
      (session, handle) = try raw.join()
      attacker = raw.simulation.addStranger(at: RawServer.strangerAddress(7))
      raw.stranger.forget()
    }

    func attack(_ bytes: [UInt8]) { attacker.send(bytes, to: raw.address) }

    func run(_ interval: Interval) { raw.simulation.run(for: interval) }

    /// Lets whoever is asked answer.
    func answers(_ stranger: Stranger) {
      stranger.onReceive = { [raw] datagram in
        guard datagram.kind == .challenge else { return }
        stranger.send(
          RawPacket.header(.response, session: session) + datagram.bytes[16...], to: raw.address)
      }
    }

    func expectStill() {
      #expect(raw.server.peer(of: handle) == raw.stranger.address)
      #expect(raw.server.log.count(.message) == 0)
    }
  }

  @Test("Who replays packets and answers nothing moves nobody")
  func replayed() throws {
    let attacked = try Attacked()
    for _ in 0..<20 {
      attacked.attack(RawPacket.heartbeat(attacked.session))
      attacked.attack(RawPacket.oneWay(attacked.session, "forged"))
      attacked.run(.milliseconds(500))
      attacked.expectStill()
    }
    let received = attacked.attacker.received
    #expect(!received.isEmpty && received.allSatisfy { $0.kind == .challenge })
    #expect(attacked.raw.server.dropped(.wrongPath) == 40)
    attacked.run(.seconds(4))
    #expect(attacked.raw.server.census.pathChanges == 0)
    finishAll(attacked.raw.simulation)
  }

  @Test("Who answers his challenge does not move a session whose peer answers too")
  func hijacked() throws {
    let attacked = try Attacked()
    attacked.answers(attacked.attacker)
    attacked.answers(attacked.raw.stranger)
    for _ in 0..<20 {
      attacked.attack(RawPacket.heartbeat(attacked.session))
      attacked.run(.milliseconds(500))
      attacked.expectStill()
    }
    #expect(attacked.raw.stranger.received.contains { $0.kind == .challenge })
    finishAll(attacked.raw.simulation)
  }

  @Test("Who answers first behind a pause of the program moves nobody", arguments: [0, 15])
  func paused(milliseconds: UInt64) throws {
    let attacked = try Attacked()
    let (raw, attacker) = (attacked.raw, attacked.attacker)
    attacked.answers(attacker)
    attacked.answers(raw.stranger)
    attacked.attack(RawPacket.heartbeat(attacked.session))
    attacked.run(.milliseconds(11 + milliseconds))
    raw.server.pause()
    attacked.run(.seconds(2))
    raw.server.resume()
    attacked.run(.seconds(8))
    attacked.expectStill()
    #expect(raw.stranger.received.contains { $0.kind == .challenge })
    #expect(attacker.received.contains { $0.kind == .challenge })
    finishAll(raw.simulation)
  }

  @Test("A slow turn takes nothing from the time in which the old address may answer")
  func slowTurn() throws {
    let attacked = try Attacked()
    let server = attacked.raw.server
    let began = attacked.raw.simulation.now
    // Nothing leaves before the end of the turn, five seconds later.
    server.endpoint.receive(
      RawPacket.heartbeat(attacked.session).span, on: SocketID(rawValue: 0),
      from: attacked.attacker.address, to: attacked.raw.address, at: began)
    func pass(_ milliseconds: UInt64) {
      let now = began + .milliseconds(milliseconds)
      server.endpoint.handleTimeout(at: now, drainedAt: now)
    }
    pass(5000)
    #expect(server.census.pathChanges == 1)
    server.endpoint.beginTurn(at: began + .seconds(5))
    pass(7999)
    #expect(server.census.pathChanges == 1)
    pass(8000)
    #expect(server.census.pathChanges == 0)
    attacked.expectStill()
    attacked.raw.simulation.tearDown()
  }

  @Test("A peer whose answers are lost stays if it is heard otherwise")
  func heardOtherwise() throws {
    let attacked = try Attacked()
    attacked.answers(attacked.attacker)
    attacked.attack(RawPacket.heartbeat(attacked.session))
    attacked.run(.milliseconds(800))
    attacked.raw.send(RawPacket.heartbeat(attacked.session))
    attacked.run(.seconds(5))
    attacked.expectStill()
    // Who is heard of no more has moved.
    attacked.attack(RawPacket.heartbeat(attacked.session))
    attacked.run(.seconds(2))
    #expect(attacked.raw.server.peer(of: attacked.handle) == attacked.attacker.address)
    finishAll(attacked.raw.simulation)
  }

  @Test("Only the token that went to the new address counts, and only from there")
  func wrongTokens() throws {
    let attacked = try Attacked()
    let third = attacked.raw.simulation.addStranger(at: RawServer.strangerAddress(8))
    attacked.attack(RawPacket.heartbeat(attacked.session))
    attacked.run(.milliseconds(50))
    let ours = try #require(attacked.attacker.received.first).bytes[16...]
    let theirs = try #require(attacked.raw.stranger.received.first).bytes[16...]
    #expect(ours != theirs)
    let response = RawPacket.header(.response, session: attacked.session)
    attacked.attack(response + theirs)
    attacked.attack(response + RawPacket.u64(0))
    attacked.attack(response + ours.dropLast())
    third.send(response + ours, to: attacked.raw.address)
    attacked.run(.seconds(5))
    attacked.expectStill()
    // A token is good for one change.
    attacked.attack(RawPacket.heartbeat(attacked.session))
    attacked.attack(response + ours)
    attacked.run(.seconds(5))
    attacked.expectStill()
    finishAll(attacked.raw.simulation)
  }

  @Test("Who asks for one change after the other does not keep the peer from its own")
  func crowdedOut() throws {
    let attacked = try Attacked()
    let moved = attacked.raw.simulation.addStranger(at: RawServer.strangerAddress(1, port: 6000))
    attacked.answers(moved)
    for _ in 0..<40 {
      attacked.attack(RawPacket.heartbeat(attacked.session))
      moved.send(RawPacket.heartbeat(attacked.session), to: attacked.raw.address)
      attacked.run(.milliseconds(100))
    }
    #expect(attacked.raw.server.peer(of: attacked.handle) == moved.address)
    finishAll(attacked.raw.simulation)
  }

  @Test("A close from elsewhere ends nothing, and asks nobody")
  func closed() throws {
    let attacked = try Attacked()
    attacked.attack(RawPacket.close(attacked.session))
    attacked.run(.seconds(2))
    attacked.expectStill()
    #expect(attacked.attacker.received.isEmpty && attacked.raw.server.census.connections == 1)
    finishAll(attacked.raw.simulation)
  }

  @Test("A connection that ends during a change leaves nothing of it")
  func ended() throws {
    let attacked = try Attacked()
    attacked.attack(RawPacket.heartbeat(attacked.session))
    attacked.run(.milliseconds(100))
    #expect(attacked.raw.server.census.pathChanges == 1)
    attacked.raw.send(RawPacket.close(attacked.session))
    #expect(attacked.raw.server.census.pathChanges == 0)
    finishAll(attacked.raw.simulation)
  }
}

extension SendOptions {
  /// Of a reliable message in channel 1.
  fileprivate static var ordered: SendOptions {
    var options = SendOptions()
    options.isReliable = true
    options.channel = 1
    return options
  }
}
