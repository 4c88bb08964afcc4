"""What the portal and a RabbitMQ have to say to each other beside messages: configuration, decisions, presence, revocation."""
