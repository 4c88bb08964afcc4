"""A PayPal on this machine: the page to approve a payment, IPNs with their post-back, and all that goes wrong with them."""
