import MsgBox
import Testing

@Suite("Starting to listen and to connect", .transitions)
struct SetupTests {
  private let simulation = Simulation()

  @Test("A connection to where nobody listens fails once", arguments: bothTransports)
  func refused(transport: Transport) throws {
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let handle = client.connect(transport, to: Address(ip: server.ip, port: 9))
    let event = try #require(client.wait(for: .connectionSetupError, within: .seconds(11)))
    #expect(event.handle == handle)
    #expect(event.status == .refused && event.systemError == 111)
    simulation.run(for: .seconds(40))
    #expect(client.log.total == 1)
    finishAll(simulation)
  }

  @Test("A UDP client says hello at 0, 0.5, 1.5, 3.5 and 7.5 seconds, and gives up at 10")
  func silence() throws {
    simulation.bounces = false
    let silent = simulation.addStranger(at: Address(ip: IPAddress(v4: 0xc000_0201), port: 5))
    let client = simulation.addNode("client")
    let start = simulation.now
    var times: [UInt64] = []
    simulation.onDatagram = { datagram in
      #expect(datagram.kind == .hello && datagram.bytes.count == 48)
      times.append(client.now.since(start).nanoseconds / 1_000_000)
      return true
    }
    _ = client.connect(.udp, to: silent.address)
    let event = try #require(client.wait(for: .connectionSetupError))
    #expect(event.status == .timedOut)
    #expect(event.time.since(start) >= .milliseconds(9_999))
    #expect(event.time.since(start) <= .milliseconds(10_010))
    #expect(times.map { $0 / 10 } == [0, 50, 150, 350, 750])
    finishAll(simulation)
  }

  @Test("A server that is not entered lets a TCP connection time out")
  func silentStream() throws {
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    server.pause()
    _ = client.connect(.tcp, to: server.address(of: listener))
    let start = simulation.now
    let event = try #require(client.wait(for: .connectionSetupError))
    #expect(event.status == .timedOut)
    #expect(event.time.since(start) >= .seconds(10) && event.time.since(start) < .seconds(11))
    finishAll(simulation)
  }

  @Test("A TCP connection that the network never answers times out, and leaves no socket behind")
  func unansweredStream() throws {
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    simulation.change(server, client) { $0.isUp = false }
    let start = simulation.now
    _ = client.connect(.tcp, to: server.address(of: listener))
    simulation.run(for: .milliseconds(9900))
    #expect(client.log.total == 0 && client.openSockets == 1)
    let event = try #require(client.wait(for: .connectionSetupError))
    #expect(event.status == .timedOut && event.time == start + .seconds(10))
    #expect(client.openSockets == 0)
    simulation.change(server, client) { $0.isUp = true }
    simulation.run(for: .seconds(5))
    #expect(server.openSockets == 1 && client.log.total == 1)
    finishAll(simulation)
  }

  @Test("An address that cannot be parsed gives the error as an event")
  func badAddress() throws {
    let node = simulation.addNode("client")
    let connection = node.connect(to: nil)
    let listener = node.listen(at: nil)
    #expect(node.log.total == 0)
    let failed = try #require(node.wait(for: .connectionSetupError))
    #expect(failed.handle == connection && failed.status == .badAddress)
    let ended = try #require(node.wait(for: .listeningError))
    #expect(ended.handle == listener && ended.status == .badAddress)
    finishAll(simulation)
  }

  @Test("Options out of their range give the error as an event")
  func badOptions() throws {
    var options = ConnectionOptions()
    options.lost = .seconds(20)
    let node = simulation.addNode("node")
    _ = node.listen(.udp, options: options)
    _ = node.connect(.udp, to: Address(ip: node.ip, port: 1), options: options)
    #expect(try #require(node.wait(for: .listeningError)).status == .invalidArgument)
    #expect(try #require(node.wait(for: .connectionSetupError)).status == .invalidArgument)
    finishAll(simulation)
  }

  @Test(
    "Port 0 reports the port, and the same port twice is in use", arguments: bothTransports)
  func ports(transport: Transport) throws {
    let node = simulation.addNode("server")
    let first = node.listen(transport)
    _ = try #require(node.wait(for: .listening))
    let port = try #require(node.localPort(of: first))
    #expect(port != 0)
    let second = node.listen(transport, port: port)
    let event = try #require(node.wait(for: .listeningError))
    #expect(event.handle == second && event.status == .addressInUse && event.systemError == 98)
    finishAll(simulation)
  }

  @Test("A name is resolved, and its addresses are tried in their order")
  func names() throws {
    let dead = simulation.addNode("dead")
    let server = simulation.addNode("server")
    _ = server.listen(.tcp, port: 80)
    _ = try #require(server.wait(for: .listening))
    simulation.names["box.example"] = [dead.ip, server.ip]
    let client = simulation.addNode("client")
    let host = Locator.Host.name(Array("box.example".utf8))
    let handle = client.connect(to: Locator(transport: .tcp, host: host, port: 80))
    #expect(client.wait(for: .connectionSetup)?.handle == handle)
    #expect(client.peer(of: handle) == Address(ip: server.ip, port: 80))
    finishAll(simulation)
  }

  @Test("A name without an address gives the error", arguments: bothTransports)
  func unknownName(transport: Transport) throws {
    let client = simulation.addNode("client")
    let host = Locator.Host.name(Array("nobody.example".utf8))
    _ = client.connect(to: Locator(transport: transport, host: host, port: 80))
    #expect(try #require(client.wait(for: .connectionSetupError)).status == .resolve)
    finishAll(simulation)
  }

  @Test("A name that is not resolved in time gives the time-out", arguments: bothTransports)
  func resolvedTooLate(transport: Transport) throws {
    let client = simulation.addNode("client")
    simulation.names["box.example"] = [client.ip]
    simulation.resolveTime = .seconds(11)
    let start = simulation.now
    let host = Locator.Host.name(Array("box.example".utf8))
    let handle = client.connect(to: Locator(transport: transport, host: host, port: 80))
    let event = try #require(client.wait(for: .connectionSetupError))
    #expect(event.status == .timedOut && event.time == start + .seconds(10))
    #expect(client.actions.contains(.forgetName(handle)))
    simulation.run(for: .seconds(5))
    #expect(client.log.total == 1 && client.openSockets == 0)
    finishAll(simulation)
  }

  @Test("Disconnecting while the name is resolved cancels it", arguments: bothTransports)
  func cancelledName(transport: Transport) throws {
    let client = simulation.addNode("client")
    simulation.names["box.example"] = [client.ip]
    simulation.resolveTime = .seconds(2)
    let host = Locator.Host.name(Array("box.example".utf8))
    let handle = client.connect(to: Locator(transport: transport, host: host, port: 80))
    simulation.run(for: .seconds(1))
    #expect(client.disconnect(handle) == .ok)
    let event = try #require(client.wait(for: .connectionSetupError, within: .milliseconds(1)))
    #expect(event.status == .cancelled)
    #expect(client.actions.contains(.forgetName(handle)))
    simulation.run(for: .seconds(5))
    #expect(client.log.total == 1 && client.openSockets == 0)
    finishAll(simulation)
  }

  @Test(
    "A socket that cannot be opened gives the system's reason", arguments: bothTransports)
  func noDescriptors(transport: Transport) throws {
    let node = simulation.addNode("client")
    node.openFailure = (.noDescriptors, 24)
    _ = node.connect(transport, to: Address(ip: node.ip, port: 1))
    let failed = try #require(node.wait(for: .connectionSetupError))
    #expect(failed.status == .noDescriptors && failed.systemError == 24)
    node.bindFailure = (.notPermitted, 13)
    _ = node.listen(transport, port: 80)
    let ended = try #require(node.wait(for: .listeningError))
    #expect(ended.status == .notPermitted && ended.systemError == 13)
    finishAll(simulation)
  }

  @Test(
    "Disconnecting before the setup cancels it, missing replies first",
    arguments: bothTransports)
  func cancelled(transport: Transport) throws {
    simulation.bounces = false
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    simulation.change(server, client) { $0.isUp = false }
    let handle = client.connect(transport, to: Address(ip: server.ip, port: 9))
    #expect(client.get("1", from: handle, context: 1) == .ok)
    #expect(client.get("2", from: handle, context: 2) == .ok)
    simulation.run(for: .milliseconds(100))
    #expect(client.disconnect(handle) == .ok)
    #expect(client.send("late", to: handle) == .ended)
    let event = try #require(client.wait(for: .connectionSetupError))
    #expect(event.status == .cancelled)
    #expect(client.log.string() == "replyMissing replyMissing connectionSetupError")
    #expect(client.log.all(.replyMissing).allSatisfy { $0.status == .connectionEnded })
    finishAll(simulation)
  }

  @Test("Unlistening before the outcome cancels it", arguments: bothTransports)
  func unlistenedEarly(transport: Transport) throws {
    let node = simulation.addNode("server")
    let handle = node.listen(transport)
    #expect(node.unlisten(handle) == .ok)
    #expect(node.unlisten(handle) == .ended)
    #expect(try #require(node.wait(for: .listeningError)).status == .cancelled)
    simulation.run(for: .seconds(1))
    #expect(node.log.total == 1)
    #expect(node.openSockets == 0)
    finishAll(simulation)
  }

  @Test(
    "What is queued before the setup leaves after the accept, in order",
    arguments: bothTransports)
  func queuedEarly(transport: Transport) throws {
    let server = simulation.addNode("server")
    server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("reply", to: event.request) == .ok) }
    }
    let listener = server.listen(transport)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    let handle = client.connect(transport, to: server.address(of: listener))
    #expect(client.send("one", to: handle) == .ok)
    #expect(client.get("two", from: handle, context: 5) == .ok)
    #expect(client.send("three", to: handle) == .ok)
    let reply = try #require(client.wait(for: .reply))
    #expect(reply.text == "reply" && reply.getContext == 5)
    #expect(client.log.string() == "connectionSetup reply")
    #expect(server.log.string() == "listening connectionReady message request message")
    #expect(server.log.events.dropFirst(2).map(\.text) == ["one", "two", "three"])
    finishAll(simulation)
  }

  @Test(
    "What is queued for a setup that fails is missing before the error",
    arguments: bothTransports)
  func queuedInVain(transport: Transport) throws {
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    var options = ConnectionOptions()
    options.connectTimeout = .seconds(2)
    let handle = client.connect(
      transport, to: Address(ip: server.ip, port: 9), options: options)
    #expect(client.get("1", from: handle, context: 1, timeout: .seconds(60)) == .ok)
    _ = try #require(client.wait(for: .connectionSetupError))
    #expect(client.log.string() == "replyMissing connectionSetupError")
    finishAll(simulation)
  }
}
