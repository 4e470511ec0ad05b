import MsgBox
import Testing

@Suite("What sockets and names do to an endpoint", .transitions)
struct SocketTests {
  private let simulation = Simulation(seed: 18)

  private func name(_ name: String, _ transport: Transport, port: UInt16) -> Locator {
    Locator(transport: transport, host: .name(Array(name.utf8)), port: port)
  }

  @Test("A listener may be named", arguments: bothTransports)
  func listenByName(transport: Transport) throws {
    let server = simulation.addNode("server")
    simulation.names["box.example"] = [server.ip]
    let listener = server.listen(at: name("box.example", transport, port: 80))
    _ = try #require(server.wait(for: .listening))
    #expect(server.peer(of: listener) == Address(ip: server.ip, port: 80))
    _ = server.listen(at: name("nobody.example", transport, port: 81))
    #expect(try #require(server.wait(for: .listeningError)).status == .resolve)
    let third = server.listen(at: name("box.example", transport, port: 82))
    #expect(server.unlisten(third) == .ok)
    simulation.run(for: .seconds(1))
    #expect(server.log.last(.listeningError)?.status == .cancelled)
    finishAll(simulation)
  }

  @Test("The interface of a link-local address reaches the socket", arguments: bothTransports)
  func scope(transport: Transport) throws {
    let server = simulation.addNode("server")
    let locator = Locator(
      transport: transport, host: .ip(IPAddress(high: 0xfe80 << 48, low: 1)), port: 0, scope: 7)
    let handle = server.endpoint.listen(
      locator, options: ConnectionOptions(), userWords: UserWords(), at: server.now)
    let buffer = ConnectionOptions().socketBufferBytes
    #expect(
      server.endpoint.pollAction()
        == .bind(handle, locator, bufferBytes: buffer, sharesPort: false))
  }

  @Test(
    "The next address of a name is tried when one is silent or bounces", arguments: [true, false])
  func candidates(bounces: Bool) throws {
    simulation.bounces = bounces
    let dead = simulation.addNode("dead")
    let server = simulation.addNode("server")
    _ = server.listen(.udp, port: 80)
    _ = try #require(server.wait(for: .listening))
    simulation.names["box.example"] = [dead.ip, server.ip]
    let client = simulation.addNode("client")
    let start = simulation.now
    let handle = client.connect(to: name("box.example", .udp, port: 80))
    let setup = try #require(client.wait(for: .connectionSetup, of: handle))
    #expect(setup.time.since(start) < (bounces ? .milliseconds(200) : .seconds(6)))
    #expect(client.peer(of: handle)?.ip == server.ip)
    #expect(client.openSockets == 1)
    finishAll(simulation)
  }

  @Test("The next address of a name is tried when a stream breaks before the accept")
  func brokenCandidate() throws {
    let broken = simulation.addNode("broken")
    let server = simulation.addNode("server")
    for node in [broken, server] {
      _ = node.listen(.tcp, port: 80)
      _ = try #require(node.wait(for: .listening))
    }
    simulation.names["box.example"] = [broken.ip, server.ip]
    broken.pause()
    let client = simulation.addNode("client")
    let handle = client.connect(to: name("box.example", .tcp, port: 80))
    simulation.run(for: .milliseconds(500))
    #expect(client.log.events.isEmpty && client.openSockets == 1)
    broken.kill()
    _ = try #require(client.wait(for: .connectionSetup, of: handle, within: .seconds(1)))
    #expect(client.peer(of: handle)?.ip == server.ip)
    finishAll(simulation)
  }

  @Test("When every address fails, the last reason is told", arguments: bothTransports)
  func allFail(transport: Transport) throws {
    let left = simulation.addNode("left")
    let right = simulation.addNode("right")
    simulation.names["box.example"] = [left.ip, right.ip]
    let client = simulation.addNode("client")
    _ = client.connect(to: name("box.example", transport, port: 80))
    let failed = try #require(client.wait(for: .connectionSetupError))
    #expect(failed.status == .refused && failed.systemError == 111)
    #expect(client.openSockets == 0)
    finishAll(simulation)
  }

  @Test("The reason of an address that refused is not told of a silent one after it")
  func lastReason() throws {
    let refusing = simulation.addNode("refusing")
    let silent = simulation.addStranger(at: Address(ip: IPAddress(v4: 0xc000_0201), port: 80))
    simulation.names["box.example"] = [refusing.ip, silent.address.ip]
    let client = simulation.addNode("client")
    _ = client.connect(to: name("box.example", .udp, port: 80))
    let failed = try #require(client.wait(for: .connectionSetupError))
    #expect(failed.status == .timedOut && failed.systemError == 0)
    finishAll(simulation)
  }

  @Test(
    "A datagram that the system refuses to send is counted, and told if nothing else comes"
  )
  func sendFailed() throws {
    simulation.bounces = false
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let address = Address(ip: server.ip, port: 9)
    _ = client.connect(.udp, to: address)
    simulation.run(for: .milliseconds(1))
    client.enter {
      client.endpoint.sendFailed(SocketID(rawValue: 0), systemError: 101, at: client.now)
    }
    let failed = try #require(client.wait(for: .connectionSetupError))
    #expect(failed.status == .unreachable && failed.systemError == 101)
    #expect(client.dropped(.sendFailed) == 1)
    finishAll(simulation)
  }

  @Test("A UDP socket that is full is passed over, asks for no turn, and goes on when it has room")
  func blocked() throws {
    let pair = try Pair(.udp)
    pair.run(for: .seconds(1))
    let socket = SocketID(rawValue: 0)
    pair.server.enter { pair.server.endpoint.setBlocked(socket, true) }
    for index in 0..<1000 { #expect(pair.server.send("\(index)", to: pair.down) == .ok) }
    pair.run(for: .milliseconds(100))
    #expect(pair.client.log.count(.message) == 0)
    #expect(pair.server.send("more", to: pair.down) == .wouldBlock)
    #expect(pair.server.counters(of: pair.down)?.queuedMessages == 1000)
    pair.run(for: .milliseconds(100))
    pair.server.enter { pair.server.unblock(socket) }
    _ = try #require(pair.client.wait(for: .message, count: 1000))
    #expect(pair.client.log.all(.message).map(\.text) == (0..<1000).map { "\($0)" })
    #expect(pair.server.log.count(.writable) == 1)
    pair.finish()
  }

  @Test("A peer that is lost while its socket is full leaves nothing behind")
  func blockedAndLost() throws {
    let pair = try Pair(.udp)
    pair.client.powerOff()
    pair.server.enter { pair.server.endpoint.setBlocked(SocketID(rawValue: 0), true) }
    for index in 0..<10 { #expect(pair.server.send("\(index)", to: pair.down) == .ok) }
    _ = try #require(pair.server.wait(for: .connectionLost, within: .seconds(60)))
    pair.server.enter { pair.server.unblock(SocketID(rawValue: 0)) }
    pair.finish()
  }

  /// A client that is not set up yet, of a server that takes messages of up to 10 bytes.
  private func connectToNarrow(
    _ transport: Transport
  ) throws -> (server: Node, client: Node, handle: Handle) {
    let server = simulation.addNode("server")
    var options = ConnectionOptions()
    options.maxMessageBytes = 10
    let listener = server.listen(transport, options: options)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    return (server, client, client.connect(transport, to: server.address(of: listener)))
  }

  @Test(
    "A message queued before the setup that the peer does not accept is told of",
    arguments: bothTransports)
  func earlyTooBig(transport: Transport) throws {
    let (server, client, handle) = try connectToNarrow(transport)
    #expect(client.send("small", to: handle) == .ok)
    #expect(client.send("much too big for it", to: handle) == .ok)
    #expect(client.get("this one as well", from: handle, context: 4) == .ok)
    _ = try #require(client.wait(for: .replyMissing))
    #expect(client.log.string() == "connectionSetup error replyMissing")
    #expect(client.log.last(.error)?.status == .tooBig)
    #expect(client.log.last(.replyMissing)?.status == .tooBig)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.all(.message).map(\.text) == ["small"])
    #expect(client.counters(of: handle)?.queuedMessages == 0)
    finishAll(simulation)
  }

  @Test(
    "A reliable message queued before the setup that the peer does not accept has that outcome",
    arguments: bothTransports)
  func earlyReliableTooBig(transport: Transport) throws {
    let (server, client, handle) = try connectToNarrow(transport)
    for (context, size) in [11, 10, 2000].enumerated() {
      let bytes = [UInt8](repeating: 1, count: size)
      #expect(client.sendReliably(bytes, to: handle, outcome: UInt(context)) == .ok)
    }
    _ = try #require(client.wait(for: .delivered))
    #expect(client.log.string() == "connectionSetup undelivered undelivered delivered")
    #expect(client.undelivered == [0: .tooBig, 2: .tooBig] && client.deliveredContexts == [1])
    #expect(client.dropped(.tooBig) == 2 && client.counters(of: handle)?.queuedMessages == 0)
    #expect(server.log.all(.message).map(\.bytes.count) == [10])
    finishAll(simulation)
  }

  @Test("A get that times out before the setup is never sent", arguments: bothTransports)
  func earlyTimeout(transport: Transport) throws {
    let server = simulation.addNode("server")
    let listener = server.listen(transport)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    let handle = client.connect(transport, to: server.address(of: listener))
    #expect(client.get("", from: handle, context: 4, timeout: .milliseconds(5)) == .ok)
    _ = try #require(client.wait(for: .connectionSetup))
    simulation.run(for: .milliseconds(100))
    #expect(client.log.string() == "replyMissing connectionSetup")
    #expect(server.log.count(.request) == 0)
    finishAll(simulation)
  }

  @Test(
    "An option that may be skipped is skipped, another drops its packet", arguments: bothTransports)
  func options(transport: Transport) throws {
    let skip: [UInt8] = [0, 4, 0x80, 2, 1, 2]
    let must: [UInt8] = [0, 2, 0x7f, 0]
    func packet(_ session: UInt64?, _ block: [UInt8], _ text: String) -> [UInt8] {
      RawPacket.header(.oneWay, session: session, flags: RawPacket.option) + block
        + Array(text.utf8)
    }
    switch transport {
    case .udp:
      let raw = try RawServer()
      let (session, _) = try raw.join()
      raw.send(packet(session, skip, "skipped"), packet(session, must, "dropped"))
      raw.send(packet(session, [0, 9], "lies"), packet(session, [0, 3, 0x80, 9, 1], "lies"))
      raw.send(packet(session, [0, 0], "none"), packet(session, skip, ""))
      #expect(raw.server.log.all(.message).map(\.text) == ["skipped", "none", ""])
      #expect(raw.server.dropped(.option) == 1 && raw.server.counters.allDrops == 3)
      finishAll(raw.simulation)
    case .tcp:
      let server = simulation.addNode("server")
      let listener = server.listen(.tcp)
      _ = try #require(server.wait(for: .listening))
      let address = server.address(of: listener)
      let stream = try #require(RawStream(from: simulation.addNode("host"), to: address))
      #expect(stream.shakeHands())
      for byte in RawPacket.frame(packet(nil, skip, "bytewise")) { stream.send([byte]) }
      stream.send(RawPacket.frame(packet(nil, skip, "whole")))
      stream.send(RawPacket.frame(packet(nil, skip, "")))
      simulation.run(for: .milliseconds(100))
      #expect(server.log.all(.message).map(\.text) == ["bytewise", "whole", ""])
      stream.close()
      finishAll(simulation)
    }
  }

  @Test("A frame of an unknown kind is counted, and the stream goes on")
  func unknownFrame() throws {
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let address = server.address(of: listener)
    let stream = try #require(RawStream(from: simulation.addNode("host"), to: address))
    #expect(stream.shakeHands())
    var unknown = RawPacket.oneWay(nil, "unknown")
    unknown[1] = 77
    stream.send(RawPacket.frame(unknown))
    stream.send(RawPacket.frame(RawPacket.header(.challenge) + RawPacket.u64(1)))
    stream.send(RawPacket.frame(RawPacket.oneWay(nil, "known")))
    simulation.run(for: .milliseconds(100))
    #expect(server.log.all(.message).map(\.text) == ["known"])
    #expect(server.dropped(.kind) == 2)
    stream.close()
    finishAll(simulation)
  }

  @Test("A server's UDP connection has its listener's port")
  func ports() throws {
    let pair = try Pair(.udp)
    #expect(pair.server.localPort(of: pair.down) == pair.address.port)
    #expect(pair.server.peer(of: pair.down)?.ip == pair.client.ip)
    #expect(pair.server.peer(of: pair.down)?.port == pair.client.localPort(of: pair.up))
    pair.finish()
  }

  @Test("Whoever only sends, and hears nothing, still has its timers run")
  func onlySends() throws {
    let pair = try Pair(.udp)
    pair.client.powerOff()
    for _ in 0..<45 {
      _ = pair.server.send("anybody?", to: pair.down)
      pair.run(for: .seconds(1))
    }
    #expect(pair.server.log.events.last?.kind == .connectionLost)
    pair.finish()
  }
}
