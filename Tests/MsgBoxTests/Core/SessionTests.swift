import MsgBox
import Testing

@Suite("Sessions", .transitions)
struct SessionTests {
  @Test("Session ids are distinct and never 0, and two endpoints share none")
  func ids() throws {
    var ids: [UInt64] = []
    for seed in UInt64(1)...2 {
      let raw = try RawServer(seed: seed)
      for own in UInt64(1)...1500 {
        raw.stranger.send(RawPacket.hello(own: own), to: raw.address)
        if own % 100 == 0 { raw.simulation.run(for: .milliseconds(100)) }
      }
      let accepts = raw.stranger.received.filter { $0.kind == .accept }
      #expect(accepts.count == 1500)
      ids += accepts.compactMap(\.ownID)
      finishAll(raw.simulation)
    }
    #expect(ids.count == 3000 && Set(ids).count == 3000 && !ids.contains(0))
    #expect(ids.allSatisfy { $0 >> 56 == 0 }, "the first byte is for steering")
  }

  @Test("Control packets have their own short form")
  func goldenBytes() throws {
    let pair = try Pair(.udp)
    var seen: [RawPacket.Kind: Datagram] = [:]
    pair.simulation.onDatagram = { datagram in
      if let kind = datagram.kind, seen[kind] == nil { seen[kind] = datagram }
      return true
    }
    let again = pair.client.connect(.udp, to: pair.address)
    _ = try #require(pair.client.wait(for: .connectionSetup, of: again))
    #expect(pair.client.send("hi", to: again) == .ok)
    pair.run(for: .seconds(15))
    #expect(pair.client.disconnect(again) == .ok)
    pair.run(for: .seconds(1))
    let hello = try #require(seen[.hello])
    let own = try #require(hello.ownID)
    #expect(
      hello.bytes
        == RawPacket.hello(own: own, lostAfter: 30_000, largest: 1_048_576))
    let accept = try #require(seen[.accept])
    let session = try #require(accept.ownID)
    #expect(accept.bytes == RawPacket.accept(own, own: session, largest: 1_048_576))
    #expect(try #require(seen[.heartbeat]).bytes == RawPacket.heartbeat(session))
    #expect(try #require(seen[.oneWay]).bytes == RawPacket.oneWay(session, "hi"))
    #expect(try #require(seen[.close]).bytes.count == 16)
    #expect(hello.bytes.count == 48 && accept.bytes.count == 32)
    pair.finish()
  }

  @Test("A handshake survives the loss of each of its packets", arguments: 0..<5)
  func lostInTurn(lost: Int) throws {
    let simulation = Simulation(seed: 8)
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    var count = 0
    simulation.onDatagram = { _ in
      count += 1
      return count != lost
    }
    let handle = client.connect(.udp, to: server.address(of: listener))
    #expect(client.wait(for: .connectionSetup, of: handle, within: .seconds(2)) != nil)
    #expect(server.wait(for: .connectionReady, within: .seconds(2)) != nil)
    simulation.run(for: .seconds(60))
    #expect(client.log.string() == "connectionSetup")
    #expect(server.log.string() == "listening connectionReady")
    finishAll(simulation)
  }

  @Test("Data confirms a session as well as a heartbeat, if the confirmation is lost")
  func dataConfirms() throws {
    let simulation = Simulation(seed: 8)
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    simulation.onDatagram = { $0.kind != .heartbeat }
    let handle = client.connect(.udp, to: server.address(of: listener))
    _ = try #require(client.wait(for: .connectionSetup))
    simulation.run(for: .milliseconds(100))
    #expect(server.log.count(.connectionReady) == 0)
    #expect(client.send("data", to: handle) == .ok)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.string() == "listening connectionReady message")
    simulation.onDatagram = nil
    finishAll(simulation)
  }

  @Test(
    "A listener that ends tells those it has not heard from since their hello",
    arguments: [false, true])
  func pendingAtUnlisten(acceptIsLost: Bool) throws {
    let simulation = Simulation(seed: 8)
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    simulation.onDatagram = { $0.kind != (acceptIsLost ? .accept : .heartbeat) }
    _ = client.connect(.udp, to: server.address(of: listener))
    simulation.run(for: .milliseconds(100))
    #expect(server.census.pendingHellos == 1)
    #expect(server.unlisten(listener) == .ok)
    #expect(server.census.pendingHellos == 0)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.string() == "listening listeningEnded")
    let expected = acceptIsLost ? "connectionSetupError" : "connectionSetup connectionClosed"
    #expect(client.log.string() == expected)
    #expect(client.log.events.last?.status == (acceptIsLost ? .refused : .endPeer))
    finishAll(simulation)
  }

  @Test(
    "The client repeats its confirmation until it hears more than the accept, and four times at most",
    arguments: 0...5)
  func confirmation(lost: Int) throws {
    let simulation = Simulation(seed: 8)
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    // So slow that every heartbeat of the first 12 s is a confirmation.
    var options = ConnectionOptions()
    options.heartbeat = .seconds(50)
    options.lost = .seconds(150)
    let listener = server.listen(.udp, options: options)
    _ = try #require(server.wait(for: .listening))
    var times: [UInt64] = []
    simulation.onDatagram = { datagram in
      guard datagram.kind == .heartbeat, datagram.from.ip == client.ip else { return true }
      times.append(simulation.now.nanoseconds / 1_000_000)
      return times.count > lost
    }
    _ = client.connect(.udp, to: server.address(of: listener), options: options)
    let setup = try #require(client.wait(for: .connectionSetup)).time.nanoseconds / 1_000_000
    simulation.run(for: .seconds(12))
    let expected: [UInt64] = [0, 50, 100, 200, 400]
    #expect(times.map { ($0 - setup) / 10 } == Array(expected.prefix(lost + 1)))
    #expect(server.log.count(.connectionReady) == (lost < 5 ? 1 : 0))
    simulation.onDatagram = nil
    finishAll(simulation)
  }

  @Test("The server answers the first confirmation with one heartbeat")
  func confirmationAnswered() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    #expect(raw.answers == [.accept, .heartbeat])
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.answers == [.accept, .heartbeat])
    finishAll(raw.simulation)
  }

  @Test("100 duplicates of a hello give one session, one peer and the same accept")
  func duplicates() throws {
    let raw = try RawServer()
    for _ in 0..<100 {
      raw.send(RawPacket.hello(own: 5))
      raw.simulation.run(for: .milliseconds(100))
    }
    let accepts = raw.stranger.received.filter { $0.kind == .accept }
    #expect(accepts.count == 100 && Set(accepts.map(\.bytes)).count == 1)
    #expect(raw.server.census.pendingHellos == 1)
    let session = try #require(accepts.first?.ownID)
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.server.census.connections == 1 && raw.server.census.pendingHellos == 0)
    for _ in 0..<100 { raw.send(RawPacket.hello(own: 5)) }
    #expect(raw.server.census.pendingHellos == 1, "until it expires, for all it can tell")
    raw.simulation.run(for: .seconds(20))
    raw.send(RawPacket.heartbeat(session))
    raw.simulation.run(for: .seconds(11))
    #expect(raw.server.census.connections == 1 && raw.server.census.pendingHellos == 0)
    #expect(raw.server.log.string() == "listening connectionReady")
    finishAll(raw.simulation)
  }

  @Test("The same hello from another address learns nothing of the first session")
  func copiedHello() throws {
    let raw = try RawServer()
    let thief = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    let (session, handle) = try raw.join(own: 5)
    thief.send(RawPacket.hello(own: 5), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    let other = try #require(thief.received.last?.ownID)
    #expect(other != session)
    thief.send(RawPacket.oneWay(session, "stolen"), to: raw.address)
    thief.send(RawPacket.close(session), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.count(.message) == 0)
    #expect(raw.server.log.count(.connectionClosed) == 0)
    thief.send(RawPacket.oneWay(other, "own"), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.last(.message)?.text == "own")
    #expect(raw.server.log.last(.message)?.handle != handle)
    finishAll(raw.simulation)
  }

  @Test("Only the address of the hello can confirm it, and it is forgotten after 30 seconds")
  func pending() throws {
    let raw = try RawServer()
    raw.send(RawPacket.hello(own: 5))
    let session = try #require(raw.stranger.received.first?.ownID)
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    other.send(RawPacket.heartbeat(session), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.count(.connectionReady) == 0)
    #expect(raw.server.census.pendingHellos == 1)
    raw.simulation.run(for: .seconds(31))
    #expect(raw.server.census.pendingHellos == 0)
    raw.send(RawPacket.heartbeat(session))
    #expect(raw.server.log.string() == "listening")
    finishAll(raw.simulation)
  }

  @Test("Of hellos above half of the limit nothing is kept without a cookie, and they are counted")
  func pendingLimit() throws {
    let simulation = Simulation(seed: 2)
    var configuration = EndpointConfiguration()
    configuration.maxPendingHellos = 10
    let server = simulation.addNode("server", configuration: configuration)
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    for own in UInt64(1)...50 {
      simulation.addStranger(at: RawServer.strangerAddress(Int(own)))
        .send(RawPacket.hello(own: own), to: server.address(of: listener))
    }
    simulation.run(for: .seconds(1))
    #expect(server.census.pendingHellos == 6)
    #expect(server.dropped(.pendingFull) == 44)
    let client = simulation.addNode("client")
    _ = client.connect(.udp, to: server.address(of: listener))
    #expect(client.wait(for: .connectionSetup, within: .seconds(1)) != nil)
    #expect(server.wait(for: .connectionReady, within: .seconds(1)) != nil)
    finishAll(simulation)
  }

  @Test("Connections above the limit of a listener are refused", arguments: bothTransports)
  func connectionLimit(transport: Transport) throws {
    var options = ConnectionOptions()
    options.maxConnections = 1
    let pair = try Pair(transport, serverOptions: options)
    let second = pair.client.connect(transport, to: pair.address)
    let failed = try #require(pair.client.wait(for: .connectionSetupError, of: second))
    #expect(failed.status.rawValue < 0)
    #expect(pair.server.log.count(.connectionReady) == 1)
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .seconds(1))
    let third = pair.client.connect(transport, to: pair.address)
    #expect(pair.client.wait(for: .connectionSetup, of: third) != nil)
    pair.finish()
  }

  @Test("The datagram that confirms a hello has one answer, whatever is in it")
  func oneAnswer() throws {
    let raw = try RawServer()
    var own: UInt64 = 500
    func confirm(_ first: (UInt64) -> [UInt8]) throws -> [RawPacket.Kind?] {
      own += 1
      raw.stranger.forget()
      raw.send(RawPacket.hello(own: own))
      let session = try #require(raw.stranger.received.last?.ownID)
      raw.stranger.forget()
      raw.send(first(session))
      return raw.answers
    }
    #expect(try confirm { RawPacket.heartbeat($0) } == [.heartbeat])
    let challenged = try confirm { RawPacket.header(.challenge, session: $0) + RawPacket.u64(1) }
    #expect(challenged == [.response])
    let closed = try confirm {
      RawPacket.header(.oneWay, session: $0, flags: RawPacket.length) + RawPacket.u16(1) + [7]
        + RawPacket.close(nil)
    }
    #expect(closed == [.close])
    #expect(raw.server.log.string().hasSuffix("connectionReady message connectionClosed"))
    finishAll(raw.simulation)
  }

  // MARK: Unknown sessions

  @Test("A packet of each kind with an unknown session is answered with a close of 16 bytes")
  func unknownSession() throws {
    let raw = try RawServer()
    let unknown: UInt64 = 0x0102_0304_0506_0708
    let packets = [
      RawPacket.oneWay(unknown, "x"),
      RawPacket.request(unknown, replyID: 1, messageID: 1, [1]),
      RawPacket.reply(unknown, replyID: 1, messageID: 1, [1]),
      RawPacket.heartbeat(unknown),
      RawPacket.header(.challenge, session: unknown) + RawPacket.u64(1),
      RawPacket.header(.response, session: unknown) + RawPacket.u64(1),
    ]
    for packet in packets {
      raw.stranger.forget()
      raw.send(packet)
      #expect(
        raw.stranger.received.map(\.bytes) == [RawPacket.close(unknown, reason: 1)], "\(packet)")
    }
    #expect(raw.server.dropped(.unknownSession) == UInt64(packets.count))
    #expect(raw.server.log.total == 1 && raw.server.census.connections == 0)
    raw.stranger.forget()
    for reason in UInt16(0)...7 { raw.send(RawPacket.close(unknown, reason: reason)) }
    #expect(raw.answers.isEmpty)
    finishAll(raw.simulation)
  }

  @Test("Answers to strangers keep to 100 a second for a prefix and 1000 in all")
  func budget() throws {
    let raw = try RawServer()
    raw.simulation.run(for: .seconds(5))
    for _ in 0..<500 { raw.stranger.send(RawPacket.heartbeat(99), to: raw.address) }
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.answers.count >= 90 && raw.answers.count <= 110)
    #expect(raw.server.dropped(.answerBudget) >= 390)
    raw.simulation.run(for: .seconds(5))
    let crowd = (0..<4000).map {
      raw.simulation.addStranger(at: RawServer.strangerAddress(10_000 + $0 * 64))
    }
    for stranger in crowd { stranger.send(RawPacket.heartbeat(99), to: raw.address) }
    raw.simulation.run(for: .milliseconds(50))
    let answered = crowd.reduce(0) { $0 + $1.received.count }
    #expect(answered >= 900 && answered <= 1100)
    raw.simulation.run(for: .seconds(5))
    for stranger in crowd { stranger.forget() }
    for second in 0..<5 {
      for stranger in crowd[(second * 800)..<((second + 1) * 800)] {
        stranger.send(RawPacket.heartbeat(99), to: raw.address)
      }
      raw.simulation.run(for: .seconds(1))
    }
    #expect(crowd.reduce(0) { $0 + $1.received.count } == 4000)
    finishAll(raw.simulation)
  }

  @Test("Two servers cannot be made to hit each other")
  func pingPong() throws {
    let simulation = Simulation(seed: 3)
    let left = simulation.addNode("left")
    let right = simulation.addNode("right")
    let atLeft = left.listen(.udp, port: 7000)
    _ = right.listen(.udp, port: 7000)
    _ = try #require(right.wait(for: .listening))
    let from = left.address(of: atLeft)
    let to = Address(ip: right.ip, port: 7000)
    var packets = 0
    simulation.onDatagram = { _ in
      packets += 1
      return true
    }
    let spoofed = [
      RawPacket.heartbeat(99), RawPacket.oneWay(99, "x"), RawPacket.close(99),
      RawPacket.hello(own: 5), RawPacket.accept(99, own: 5), RawPacket.accept(0, own: 5),
      RawPacket.header(.challenge, session: 99) + RawPacket.u64(1),
      RawPacket.header(.response, session: 99) + RawPacket.u64(1),
    ]
    for packet in spoofed {
      packets = 0
      simulation.transmit(Datagram(from: from, to: to, bytes: packet))
      simulation.run(for: .seconds(40))
      #expect(packets <= 2, "one spoofed and at most one answer: \(packet)")
    }
    #expect(left.log.total == 1 && right.log.total == 1)
    finishAll(simulation)
  }

  // MARK: Restarts

  @Test("An idle client learns from its next heartbeat that the server was restarted")
  func restarted() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(20))
    pair.server.kill()
    pair.server.restart()
    _ = pair.server.listen(.udp, port: pair.address.port)
    #expect(pair.client.get("", from: pair.up, context: 1, timeout: .seconds(600)) == .ok)
    let lost = try #require(pair.client.wait(for: .connectionLost, within: .seconds(11)))
    #expect(lost.status == .unknownSession)
    #expect(pair.client.log.string() == "connectionSetup replyMissing connectionLost")
    pair.finish()
  }

  @Test("What bounces has the server asked for a sign at once, and loses nobody who gives it")
  func bounced() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(20))
    var challenges = 0
    pair.simulation.onDatagram = { datagram in
      if datagram.kind == .challenge, datagram.from.ip == pair.client.ip { challenges += 1 }
      return true
    }
    for asked in 1...2 {
      for _ in 0..<3 {
        pair.client.enter {
          pair.client.endpoint.bounced(
            SocketID(rawValue: 0), .refused, systemError: 111, at: pair.client.now)
        }
      }
      #expect(challenges == asked, "once until the suspicion is over")
      pair.run(for: .seconds(5))
      #expect(challenges == asked)
    }
    pair.run(for: .seconds(60))
    #expect(pair.client.log.count(.connectionLost) == 0)
    pair.simulation.onDatagram = nil
    pair.finish()
  }

  @Test(
    "A client with a reconnect wait goes on with a new connection",
    arguments: bothTransports)
  func reconnect(transport: Transport) throws {
    var options = quickOptions()
    options.reconnectWait = .seconds(5)
    let pair = try Pair(transport, clientOptions: options)
    pair.server.kill()
    let lost = try #require(pair.client.wait(for: .connectionLost, within: .seconds(40)))
    #expect(lost.next != .none && lost.next != pair.up)
    #expect(pair.client.send("old", to: pair.up) == .badHandle)
    #expect(pair.client.send("early", to: lost.next) == .ok)
    let failed = try #require(pair.client.wait(for: .connectionSetupError, within: .seconds(20)))
    #expect(failed.handle == lost.next && failed.next != .none)
    #expect(failed.time.since(lost.time) >= .milliseconds(2500))
    pair.server.restart()
    _ = pair.server.listen(transport, port: pair.address.port)
    let setup = try #require(
      pair.client.wait(for: .connectionSetup, count: 2, within: .seconds(40)))
    #expect(setup.context == 200)
    #expect(pair.client.send("new", to: setup.handle) == .ok)
    #expect(pair.server.wait(for: .message)?.text == "new")
    pair.finish()
  }

  @Test("Clients that lost the same server come back spread over a quarter of their wait")
  func reconnectionsAreSpread() throws {
    var options = quickOptions()
    options.reconnectWait = .seconds(8)
    let simulation = Simulation(seed: 3)
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    for _ in 0..<20 {
      _ = client.connect(.tcp, to: server.address(of: listener), options: options)
    }
    _ = try #require(client.wait(for: .connectionSetup, count: 20))
    server.kill()
    let lost = try #require(client.wait(for: .connectionLost, count: 20))
    _ = try #require(client.wait(for: .connectionSetupError, count: 20, within: .seconds(11)))
    let waits = client.log.all(.connectionSetupError).map { $0.time.since(lost.time) }
    #expect(waits.allSatisfy { $0 >= .milliseconds(7900) && $0 <= .milliseconds(10_200) })
    #expect(Set(waits.map { $0.nanoseconds / 500_000_000 }).count >= 3)
    finishAll(simulation)
  }

  @Test("A replacement that is disconnected while it waits is cancelled")
  func reconnectCancelled() throws {
    var options = quickOptions()
    options.reconnectWait = .seconds(5)
    let pair = try Pair(.tcp, clientOptions: options)
    pair.server.kill()
    let lost = try #require(pair.client.wait(for: .connectionLost))
    #expect(pair.client.disconnect(lost.next) == .ok)
    let failed = try #require(pair.client.wait(for: .connectionSetupError))
    #expect(failed.handle == lost.next && failed.status == .cancelled && failed.next == .none)
    pair.finish()
  }

  @Test("A peer that closes is not connected to again", arguments: bothTransports)
  func noReconnectAfterClose(transport: Transport) throws {
    var options = quickOptions()
    options.reconnectWait = .seconds(1)
    let pair = try Pair(transport, clientOptions: options)
    #expect(pair.server.disconnect(pair.down) == .ok)
    let closed = try #require(pair.client.wait(for: .connectionClosed))
    #expect(closed.next == .none)
    pair.run(for: .seconds(10))
    #expect(pair.client.log.total == 2)
    pair.finish()
  }

  @Test("A packet that comes from the address it was sent to is answered from there")
  func localAddress() throws {
    let simulation = Simulation(seed: 3)
    let server = simulation.addNode("server")
    let second = IPAddress(v4: 0x0a00_0101)
    simulation.addAddress(second, of: server)
    _ = server.listen(.udp, port: 7000)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    let handle = client.connect(.udp, to: Address(ip: second, port: 7000))
    _ = try #require(client.wait(for: .connectionSetup))
    simulation.run(for: .seconds(60))
    #expect(client.send("hi", to: handle) == .ok)
    let message = try #require(server.wait(for: .message))
    #expect(server.send("ho", to: message.handle) == .ok)
    #expect(client.wait(for: .message)?.text == "ho")
    finishAll(simulation)
  }
}
