import MsgBox
import Testing

@Suite("The golden cycles", .transitions)
struct GoldenCycleTests {
  @Test(
    "Each of 20 clients sees setup, replies, closed; the server ready to closed",
    arguments: bothTransports)
  func manyClients(transport: Transport) throws {
    let simulation = Simulation(seed: 5)
    let server = simulation.addNode("server")
    server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer(event.bytes, to: event.request) == .ok) }
    }
    let listener = server.listen(transport, context: 42)
    _ = try #require(server.wait(for: .listening))
    let clients = (1...20).map { simulation.addNode("client \($0)") }
    for client in clients { start(client, transport, server.address(of: listener)) }
    #expect(server.wait(for: .connectionClosed, count: 20) != nil)
    simulation.run(for: .seconds(1))
    for client in clients {
      #expect(client.log.string() == "connectionSetup reply reply connectionClosed")
    }
    let readies = server.log.all(.connectionReady)
    #expect(readies.count == 20)
    for ready in readies {
      let events = server.log.events(of: ready.handle)
      #expect(events.allSatisfy { $0.context == 42 && $0.listener == listener })
      let golden = /connectionReady( message| request){3} connectionClosed/
      #expect(server.log.string(of: ready.handle).wholeMatch(of: golden) != nil)
    }
    finishAll(simulation)
    #expect(server.log.last(.listeningEnded)?.handle == listener)
  }

  private func start(_ client: Node, _ transport: Transport, _ address: Address) {
    let handle = client.connect(transport, to: address)
    client.onEvent = { node, event in
      switch event.kind {
      case .connectionSetup:
        #expect(node.send("hi", to: handle) == .ok)
        #expect(node.get("a", from: handle, context: 1) == .ok)
        #expect(node.get("b", from: handle, context: 2) == .ok)
      case .reply where node.log.count(.reply) == 2:
        #expect(node.disconnect(handle) == .ok)
      default: break
      }
    }
  }

  @Test("TCP and UDP give the same events on both sides")
  func sameCycle() throws {
    let tcp = try cycle(.tcp)
    let udp = try cycle(.udp)
    #expect(tcp.client == udp.client)
    #expect(tcp.server == udp.server)
    #expect(udp.client == "connectionSetup reply message connectionClosed")
    #expect(
      udp.server
        == "listening connectionReady message request connectionClosed listeningEnded")
  }

  private func cycle(_ transport: Transport) throws -> (client: String, server: String) {
    let pair = try Pair(transport)
    pair.server.onEvent = { node, event in
      if event.kind == .request {
        #expect(node.answer("yes", to: event.request) == .ok)
        #expect(node.send("by the way", to: event.handle) == .ok)
      }
    }
    #expect(pair.client.send("hello", to: pair.up) == .ok)
    #expect(pair.client.get("really?", from: pair.up) == .ok)
    _ = try #require(pair.client.wait(for: .message))
    #expect(pair.client.disconnect(pair.up) == .ok)
    _ = try #require(pair.server.wait(for: .connectionClosed))
    pair.finish()
    return (pair.client.log.string(), pair.server.log.string())
  }

  @Test(
    "Answers in reverse order reach the contexts of their gets", arguments: bothTransports)
  func reverseOrder(transport: Transport) throws {
    let pair = try Pair(transport)
    for context in UInt(1)...5 {
      #expect(pair.client.get("get \(context)", from: pair.up, context: context) == .ok)
    }
    _ = try #require(pair.server.wait(for: .request, count: 5))
    for request in pair.server.log.all(.request).reversed() {
      #expect(pair.server.answer("to " + request.text, to: request.request) == .ok)
    }
    _ = try #require(pair.client.wait(for: .reply, count: 5))
    #expect(pair.client.log.all(.reply).map(\.getContext) == [5, 4, 3, 2, 1])
    for reply in pair.client.log.all(.reply) { #expect(reply.text == "to get \(reply.getContext)") }
    pair.finish()
  }

  @Test("A server gets from its client, with its own context", arguments: bothTransports)
  func serverAsks(transport: Transport) throws {
    let pair = try Pair(transport)
    pair.client.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("client's", to: event.request) == .ok) }
    }
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("server's", to: event.request) == .ok) }
    }
    #expect(pair.server.get("who?", from: pair.down, context: 9) == .ok)
    #expect(pair.client.get("who?", from: pair.up, context: 8) == .ok)
    let atServer = try #require(pair.server.wait(for: .reply))
    #expect(atServer.text == "client's" && atServer.getContext == 9)
    let atClient = try #require(pair.client.wait(for: .reply))
    #expect(atClient.text == "server's" && atClient.getContext == 8)
    pair.finish()
  }

  @Test(
    "A stored handle names its peer for life, and keeps a context of its own",
    arguments: bothTransports)
  func storedHandles(transport: Transport) throws {
    let pair = try Pair(transport)
    let other = pair.simulation.addNode("other")
    let handle = other.connect(transport, to: pair.address)
    _ = try #require(pair.server.wait(for: .connectionReady, count: 2))
    let second = try #require(pair.server.log.last(.connectionReady)).handle
    pair.server.onEvent = { node, event in
      if event.kind == .message { #expect(node.send(event.bytes, to: event.handle) == .ok) }
    }
    pair.run(for: .seconds(60))
    #expect(pair.server.send("for the client", to: pair.down) == .ok)
    #expect(pair.server.send("for the other", to: second) == .ok)
    #expect(pair.client.wait(for: .message)?.text == "for the client")
    #expect(other.wait(for: .message)?.text == "for the other")
    #expect(other.send("echo", to: handle) == .ok)
    let echo = try #require(other.wait(for: .message, count: 2))
    #expect(echo.text == "echo")
    #expect(pair.client.log.count(.message) == 1)
    pair.finish()
  }

  @Test(
    "Unlistening closes each connection, then ends the listener and its socket",
    arguments: bothTransports)
  func unlisten(transport: Transport) throws {
    let pair = try Pair(transport)
    let other = pair.simulation.addNode("other")
    _ = other.connect(transport, to: pair.address)
    _ = try #require(pair.server.wait(for: .connectionReady, count: 2))
    #expect(pair.server.unlisten(pair.listener) == .ok)
    #expect(pair.server.send("late", to: pair.down) == .ended)
    _ = try #require(pair.server.wait(for: .listeningEnded))
    let kinds = pair.server.log.events.suffix(3).map(\.kind)
    #expect(kinds == [.connectionClosed, .connectionClosed, .listeningEnded])
    #expect(pair.server.log.all(.connectionClosed).allSatisfy { $0.status == .endUnlistened })
    #expect(pair.client.wait(for: .connectionClosed)?.status == .endPeer)
    #expect(other.wait(for: .connectionClosed)?.status == .endPeer)
    pair.run(for: .seconds(32))
    #expect(pair.server.openSockets == 0)
    pair.finish()
  }

  @Test(
    "Disconnecting a server's connection leaves the listener alone",
    arguments: bothTransports)
  func disconnectAtServer(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.server.disconnect(pair.down) == .ok)
    #expect(pair.client.wait(for: .connectionClosed)?.status == .endPeer)
    #expect(pair.server.log.last(.connectionClosed)?.status == .endLocal)
    let again = pair.client.connect(transport, to: pair.address)
    #expect(pair.client.wait(for: .connectionSetup, of: again) != nil)
    #expect(pair.server.log.count(.listeningEnded) == 0)
    pair.finish()
  }

  @Test(
    "Empty messages, requests and replies arrive, also many at once",
    arguments: bothTransports)
  func empty(transport: Transport) throws {
    let pair = try Pair(transport)
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer([], to: event.request) == .ok) }
    }
    for context in UInt(1)...20 {
      #expect(pair.client.send([], to: pair.up) == .ok)
      #expect(pair.client.get([], from: pair.up, context: context) == .ok)
    }
    _ = try #require(pair.client.wait(for: .reply, count: 20))
    #expect(pair.client.log.all(.reply).map(\.getContext) == Array(1...20))
    #expect(pair.client.log.all(.reply).allSatisfy { $0.bytes.isEmpty })
    #expect(pair.server.log.count(.message) == 20 && pair.server.log.count(.request) == 20)
    #expect(pair.server.log.events.allSatisfy { $0.bytes.isEmpty })
    pair.finish()
  }

  @Test(
    "What 100 clients sent while the server slept is told apart in one turn",
    arguments: bothTransports)
  func oneTurn(transport: Transport) throws {
    let simulation = Simulation(seed: 9)
    let server = simulation.addNode("server")
    let listener = server.listen(transport)
    _ = try #require(server.wait(for: .listening))
    var owners: [Handle: UInt] = [:]
    let clients = (0..<100).map { simulation.addNode("client \($0)") }
    var handles: [Handle] = []
    for (index, client) in clients.enumerated() {
      handles.append(client.connect(transport, to: server.address(of: listener)))
      let ready = try #require(server.wait(for: .connectionReady, count: index + 1))
      owners[ready.handle] = UInt(index)
      #expect(server.setContext(UInt(index), of: ready.handle))
    }
    server.pause()
    for (index, client) in clients.enumerated() {
      #expect(client.send("message of \(index)", to: handles[index]) == .ok)
      #expect(client.get("request of \(index)", from: handles[index], context: 1) == .ok)
    }
    simulation.run(for: .seconds(1))
    server.onEvent = { node, event in
      guard event.kind == .request || event.kind == .message else { return }
      #expect(owners[event.handle] == event.context)
      #expect(event.text == "\(event.kind) of \(event.context)")
      if event.kind == .request { #expect(node.answer(event.bytes, to: event.request) == .ok) }
    }
    server.resume()
    simulation.run(for: .seconds(1))
    for (index, client) in clients.enumerated() {
      #expect(client.log.all(.reply).map(\.text) == ["request of \(index)"])
    }
    finishAll(simulation)
  }
}
