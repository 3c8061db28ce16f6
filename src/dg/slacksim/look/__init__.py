"""How it looks: messages, modals and homes as HTML, and the page that shows them."""
